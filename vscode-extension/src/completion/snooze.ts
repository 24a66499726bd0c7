// Suggestions off for a while, in this window.

import * as vscode from 'vscode';

import type { StatusModel } from '../status/model';

const CHOICES = [5, 15, 30, 60, 240];

export class Snooze implements vscode.Disposable {
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly status: StatusModel) {}

  /** Snooze for so many minutes, or for as long as the user picks. */
  async begin(minutes?: unknown): Promise<void> {
    const chosen = typeof minutes === 'number' && minutes > 0 ? minutes : await pickMinutes();
    if (chosen === undefined) {
      return;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.end();
    }, chosen * 60_000);
    this.status.update({ snoozedUntil: new Date(Date.now() + chosen * 60_000) });
    await vscode.commands.executeCommand('editor.action.inlineSuggest.hide');
  }

  end(): void {
    clearTimeout(this.timer);
    this.status.update({ snoozedUntil: undefined });
  }

  dispose(): void {
    clearTimeout(this.timer);
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
