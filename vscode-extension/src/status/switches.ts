// Commands that turn a setting over, wherever it is set: in folders, in the workspace, or else for the user.

import * as vscode from 'vscode';

import { isEnabledSomewhere, SECTION } from '../settings';

export async function toggleEnabled(): Promise<void> {
  await write('enabled', !isEnabledSomewhere());
}

export async function togglePauseOnBattery(): Promise<void> {
  const isPausing = vscode.workspace.getConfiguration(SECTION).get('care.onBattery') === 'off';
  await write('care.onBattery', isPausing ? undefined : 'off');
  const text = isPausing ? 'On battery, suggestions come sparingly.' : 'On battery, there are no suggestions.';
  void vscode.window.showInformationMessage(text);
}

async function write(name: string, value: unknown): Promise<void> {
  const section = vscode.workspace.getConfiguration(SECTION);
  const inWorkspace = section.inspect(name)?.workspaceValue !== undefined;
  const target = inWorkspace ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await section.update(name, value, target);
  const folders = vscode.workspace.workspaceFolders ?? [];
  // In a window of one folder its values are the workspace's, which are written already.
  for (const folder of folders.length > 1 ? folders : []) {
    const own = vscode.workspace.getConfiguration(SECTION, folder);
    if (own.inspect(name)?.workspaceFolderValue !== undefined) {
      await own.update(name, value, vscode.ConfigurationTarget.WorkspaceFolder);
    }
  }
}
