// Updates by themselves: one begins once the repository has drifted, on mains power, when nobody has typed or moved the
// cursor in this window's editors for a minute. It stands still once somebody does, and on battery.

import * as vscode from 'vscode';

import type { Logger } from '../logger';
import type { ServerController } from '../server/controller';
import { isOnBattery, type Stale } from '../server/serverStatus';
import { isEnabledFor, readSettings, SECTION } from '../settings';
import type { BuildCommand } from './command';
import { type Conditions, type FailedUpdates, findDue, isWithin, mayBegin, mustEnd, PastUpdates } from './due';
import { Pace } from './pace';

const LOOK_MS = 5_000;
const ASK_AGAIN_MS = 600_000; // of a server that had no drift to tell of

export class AutomaticUpdates implements vscode.Disposable {
  private readonly pace = new Pace();
  private readonly past = new PastUpdates();
  private readonly following: vscode.Disposable;
  private watching: vscode.Disposable | undefined;
  private askedAtMs = -Infinity;
  private isLooking = false;

  constructor(
    private readonly builds: BuildCommand,
    private readonly controller: ServerController,
    private readonly failures: FailedUpdates,
    private readonly log: Logger,
  ) {
    this.following = vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(`${SECTION}.update.automatic`)) {
        this.watchIfWanted();
      }
    });
    this.watchIfWanted();
  }

  dispose(): void {
    this.following.dispose();
    this.watching?.dispose();
    this.watching = undefined;
  }

  /** Look now and then, and note the keys, only while an update may begin by itself, or one runs. */
  private watchIfWanted(): void {
    if (this.isWanted) {
      this.watching ??= this.watch();
    } else {
      this.watching?.dispose();
      this.watching = undefined;
    }
  }

  private get isWanted(): boolean {
    return readSettings().updateAutomatically || this.builds.runsByItself;
  }

  private watch(): vscode.Disposable {
    this.pace.noteKey(); // nobody has noted the last one
    const timer = setInterval(() => void this.look(), LOOK_MS);
    return vscode.Disposable.from(
      new vscode.Disposable(() => {
        clearInterval(timer);
      }),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0 && document.uri.scheme !== 'output') {
          this.noteUse();
        }
      }),
      // Not a selection that a program has made, unless somebody uses the window: an emulation of Vim sets each one.
      vscode.window.onDidChangeTextEditorSelection(({ kind }) => {
        const isByProgram = kind === undefined || kind === vscode.TextEditorSelectionChangeKind.Command;
        if (!isByProgram || vscode.window.state.active) {
          this.noteUse();
        }
      }),
    );
  }

  private async look(): Promise<void> {
    if (this.isLooking) {
      return;
    }
    this.isLooking = true;
    try {
      await this.lookNow();
    } finally {
      this.isLooking = false;
      if (this.watching) {
        this.watchIfWanted(); // what ran may have ended since the setting was turned off
      }
    }
  }

  private noteUse(): void {
    this.pace.noteKey();
    this.standStill(true);
  }

  private standStill(isStill: boolean): void {
    this.pace.noteStill(isStill);
    this.builds.standStill(isStill);
  }

  private async lookNow(): Promise<void> {
    this.pace.noteLook();
    if (this.builds.runsByItself) {
      if (mustEnd(this.conditions(), this.pace.isStillTooLong())) {
        await this.builds.stopByItself();
      } else if (this.pace.mayGoOn()) {
        const status = await this.controller.readStatus();
        if (status) {
          this.standStill(isOnBattery(status) || !this.pace.mayGoOn());
        }
      }
      return;
    }
    this.pace.noteStill(false);
    if (!mayBegin(this.conditions()) || isWithin(ASK_AGAIN_MS, this.askedAtMs, Date.now())) {
      return;
    }
    this.askedAtMs = Date.now();
    const status = await this.controller.readStatus();
    const isEnabled = (repository: string): boolean => isEnabledFor(vscode.Uri.file(repository));
    const due = findDue(this.conditions(), status, this.failures, this.past, isEnabled);
    if (due) {
      this.log.info(`${due.repository} has changed, and nobody uses this window's editors: an update begins`);
      void this.update(due);
    }
  }

  private async update(due: Stale): Promise<void> {
    const outcome = await this.builds.updateByItself(due);
    if (outcome === 'done' || outcome === 'notNow') {
      this.past.note(due, outcome);
    }
  }

  private conditions(): Conditions {
    return {
      isAutomatic: readSettings().updateAutomatically,
      isTrusted: vscode.workspace.isTrusted,
      isQuiet: this.pace.mayBegin(),
    };
  }
}
