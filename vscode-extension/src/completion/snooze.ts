// Switches suggestions off for a while; the server keeps the time. A snooze outlasts the server's restarts, and those of
// the window.

import * as vscode from 'vscode';

import type { ServerController } from '../server/controller';

const CHOICES = [5, 15, 30, 60, 240];

export class Snooze {
  constructor(private readonly controller: ServerController) {}

  /** Snooze for some minutes, or for as long as the user picks. */
  async begin(minutes?: unknown): Promise<void> {
    const chosen = typeof minutes === 'number' && minutes > 0 ? minutes : await pickMinutes();
    if (chosen === undefined) {
      return;
    }
    await this.controller.snooze(new Date(Date.now() + chosen * 60_000));
    await vscode.commands.executeCommand('editor.action.inlineSuggest.hide');
  }

  async end(): Promise<void> {
    await this.controller.snooze(undefined);
  }
}

async function pickMinutes(): Promise<number | undefined> {
  const items = CHOICES.map((minutes) => ({
    label: minutes < 60 ? `${minutes} minutes` : `${minutes / 60} h`,
    minutes,
  }));
  const picked = await vscode.window.showQuickPick(items, { placeHolder: 'No suggestions in this window for…' });
  return picked?.minutes;
}
