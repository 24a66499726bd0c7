// Commands that toggle a setting where it is set: in folders, in the workspace, or else for the user.

import * as vscode from 'vscode';

import { plain } from '../plainText';
import { isEnabledFor, isEnabledSomewhere, SECTION } from '../settings';

/** Switching off holds for every folder. Switching on leaves folders off that are set so, unless nothing would be on. */
export async function toggleEnabled(): Promise<void> {
  const isOn = !isEnabledSomewhere();
  const folders = vscode.workspace.workspaceFolders ?? [];
  const own = folders.filter((folder) => inspect('enabled', folder)?.workspaceFolderValue !== undefined);
  if (folders.length === 0 || own.length < folders.length) {
    await write('enabled', isOn);
  }
  const chosen = isOn ? (isEnabledSomewhere() ? [] : own) : own.filter((folder) => isEnabledFor(folder));
  for (const folder of chosen) {
    const section = vscode.workspace.getConfiguration(SECTION, folder);
    await section.update('enabled', isOn, vscode.ConfigurationTarget.WorkspaceFolder);
  }
}

export async function togglePauseOnBattery(): Promise<void> {
  const isPausing = vscode.workspace.getConfiguration(SECTION).get('care.onBattery') === 'off';
  await write('care.onBattery', isPausing ? undefined : 'off');
  const text = isPausing ? 'On battery, suggestions come sparingly.' : 'On battery, there are no suggestions.';
  void vscode.window.showInformationMessage(plain(text));
}

async function write(name: string, value: unknown): Promise<void> {
  const inWorkspace = inspect(name)?.workspaceValue !== undefined;
  const target = inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await vscode.workspace.getConfiguration(SECTION).update(name, value, target);
}

function inspect(name: string, scope?: vscode.WorkspaceFolder): ReturnType<vscode.WorkspaceConfiguration['inspect']> {
  return vscode.workspace.getConfiguration(SECTION, scope).inspect(name);
}
