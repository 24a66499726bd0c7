// The walkthrough's ticks: context keys that follow the state.
//
// VS Code registers the walkthrough when it is first opened. A key that is true then never ticks its step.
// So no key is set before.

import * as vscode from 'vscode';

import type { Snapshot } from '../status/state';

const WALKTHROUGH = 'submodel.submodel#start';

const facts = new Map<string, boolean>();
let isOpened = false;

export function followState({ version, bundle }: Snapshot): void {
  setContext('isInstalled', version !== undefined);
  setContext('hasBundle', bundle !== undefined);
}

export function setContext(name: string, value: boolean): void {
  if (facts.get(name) !== value) {
    facts.set(name, value);
    if (isOpened) {
      tell(name, value);
    }
  }
}

export async function openWalkthrough(): Promise<void> {
  await vscode.commands.executeCommand('workbench.action.openWalkthrough', WALKTHROUGH, false);
  isOpened = true;
  facts.forEach((value, name) => {
    tell(name, value);
  });
}

function tell(name: string, value: boolean): void {
  void vscode.commands.executeCommand('setContext', `submodel.${name}`, value);
}
