// The walkthrough's ticks: context keys that follow the state.

import * as vscode from 'vscode';

import type { Snapshot } from '../status/state';

const WALKTHROUGH = 'submodel.submodel#start';
const last = new Map<string, boolean>();

export function followState({ version, bundle }: Snapshot): void {
  setContext('isInstalled', version !== undefined);
  setContext('hasBundle', bundle !== undefined);
}

export function setContext(name: string, value: boolean): void {
  if (last.get(name) !== value) {
    last.set(name, value);
    void vscode.commands.executeCommand('setContext', `submodel.${name}`, value);
  }
}

/** Open the walkthrough, which only ticks what changes after it was opened: so everything changes once more. */
export async function openWalkthrough(): Promise<void> {
  await vscode.commands.executeCommand('workbench.action.openWalkthrough', WALKTHROUGH, false);
  for (const [name, value] of last) {
    await vscode.commands.executeCommand('setContext', `submodel.${name}`, false);
    await vscode.commands.executeCommand('setContext', `submodel.${name}`, value);
  }
}
