// The walkthrough's ticks: context keys that follow the state.
//
// VS Code registers the walkthrough when it is first opened. A key that is true then never ticks its step.
// So no key is set before.

import * as vscode from 'vscode';

import type { Snapshot } from '../status/state';

const WALKTHROUGH = 'submodel.submodel#start';
const TAB = 'Walkthrough: submodel'; // in English; elsewhere only our own command is noticed
const REGISTERING_MS = 5_000; // after the tab is there

const facts = new Map<string, boolean>();
let isOpened = false;

export function followState({ version, served }: Snapshot): void {
  setContext('isInstalled', version !== undefined);
  setContext('hasBundle', served.length > 0);
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
  noteOpened();
}

/** Notice a walkthrough that VS Code has opened, after the installation or from its welcome page. */
export function followWalkthrough(): vscode.Disposable {
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
    if (!isOpened && tabs.some(({ label, input }) => label === TAB && input === undefined)) {
      timer ??= setTimeout(noteOpened, REGISTERING_MS);
    }
  };
  look();
  return vscode.Disposable.from(
    vscode.window.tabGroups.onDidChangeTabs(look),
    new vscode.Disposable(() => {
      clearTimeout(timer);
    }),
  );
}

function noteOpened(): void {
  isOpened = true;
  facts.forEach((value, name) => {
    tell(name, value);
  });
}

function tell(name: string, value: boolean): void {
  void vscode.commands.executeCommand('setContext', `submodel.${name}`, value);
}
