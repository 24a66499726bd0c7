// The walkthrough's ticks: context keys that follow the state.

import * as vscode from 'vscode';

import type { Snapshot } from '../status/state';

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
