// Commands that toggle a setting where it is set: in folders, in the workspace, or else for the user.

import * as vscode from 'vscode';

import { asObject, isEnabledFor, isEnabledSomewhere, isLanguageOn, SECTION } from '../settings';

/** Switching off holds for every folder. Switching on leaves folders off that are set so, unless nothing would be on. */
export async function toggleEnabled(): Promise<void> {
  const isOn = !isEnabledSomewhere();
  const folders = vscode.workspace.workspaceFolders ?? [];
  const own = folders.filter((folder) => inspect('enabled', folder)?.workspaceFolderValue !== undefined);
  if (folders.length === 0 || own.length < folders.length) {
    const { workspaceValue, globalValue } = inspect('enabled') ?? {};
    await write('enabled', isOn);
    if (!isOn && workspaceValue === undefined && folders.length > 0) {
      void offerOnlyHere(globalValue);
    }
  }
  const chosen = isOn ? (isEnabledSomewhere() ? [] : own) : own.filter((folder) => isEnabledFor(folder));
  for (const folder of chosen) {
    const section = vscode.workspace.getConfiguration(SECTION, folder);
    await section.update('enabled', isOn, vscode.ConfigurationTarget.WorkspaceFolder);
  }
}

/** The user's own setting holds in every window. `before`: what it was. */
async function offerOnlyHere(before: unknown): Promise<void> {
  const here = 'Only Here';
  if ((await vscode.window.showInformationMessage('Suggestions are off in all windows.', here)) === here) {
    const section = vscode.workspace.getConfiguration(SECTION);
    await section.update('enabled', false, vscode.ConfigurationTarget.Workspace);
    await section.update('enabled', before, vscode.ConfigurationTarget.Global);
  }
}

/** Turn suggestions on or off in the language of the active editor. */
export async function toggleLanguage(): Promise<void> {
  const languageId = vscode.window.activeTextEditor?.document.languageId;
  if (languageId !== undefined) {
    const { workspaceValue, globalValue } = inspect('languages') ?? {};
    const own = asObject(workspaceValue ?? globalValue);
    await write('languages', { ...own, [languageId]: !isLanguageOn(languageId) });
  }
}

async function write(name: string, value: unknown): Promise<void> {
  const inWorkspace = inspect(name)?.workspaceValue !== undefined;
  const target = inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await vscode.workspace.getConfiguration(SECTION).update(name, value, target);
}

function inspect(name: string, scope?: vscode.WorkspaceFolder): ReturnType<vscode.WorkspaceConfiguration['inspect']> {
  return vscode.workspace.getConfiguration(SECTION, scope).inspect(name);
}
