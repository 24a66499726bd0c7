// The menu behind the status bar entry: what can be done in the state that the entry shows.

import * as vscode from 'vscode';

import { describe, snoozeEnd, type Snapshot } from './state';

interface Entry extends vscode.QuickPickItem {
  readonly command?: string;
}

export async function showMenu(snapshot: Snapshot): Promise<void> {
  const entries = listEntries(snapshot);
  const picked = await vscode.window.showQuickPick(entries, { placeHolder: `submodel: ${describe(snapshot).state}` });
  if (picked?.command !== undefined) {
    await vscode.commands.executeCommand(picked.command);
  }
}

function listEntries(snapshot: Snapshot): Entry[] {
  const { phase, bundle, untrusted } = snapshot;
  const entry = (icon: string, label: string, command: string): Entry => ({
    label: `$(${icon}) ${label}`,
    command: `submodel.${command}`,
  });
  const build = entry('tools', bundle ? 'Build Again' : 'Build a Sub-model of This Workspace', 'build');
  const isOff = phase === 'disabled';
  return [
    ...(bundle ? [] : [build]),
    ...(untrusted ? [{ ...entry('shield', 'Trust This Bundle', 'trustBundle'), detail: untrusted.folder }] : []),
    ...(phase === 'no-executable' ? [entry('cloud-download', 'How to Install', 'openWalkthrough')] : []),
    entry(isOff ? 'check' : 'circle-slash', `Turn Suggestions ${isOff ? 'On' : 'Off'}`, 'toggle'),
    snoozeEnd(snapshot)
      ? entry('bell', 'End the Snooze', 'endSnooze')
      : entry('bell-slash', 'Snooze…', 'snoozeSuggestions'),
    entry('question', 'Explain the Last Suggestion', 'explainLast'),
    entry('graph', 'Statistics', 'showStatistics'),
    entry('file-code', 'Report', 'openReport'),
    entry('history', 'Choose or Roll Back the Bundle', 'chooseBundle'),
    ...(bundle ? [entry('sync', 'Update the Sub-model', 'update'), build] : []),
    entry('debug-restart', 'Restart the Server', 'restart'),
    entry('output', 'Logs', 'showLogs'),
    entry('gear', 'Settings', 'openSettings'),
  ];
}
