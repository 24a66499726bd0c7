// Updates by themselves: one begins once the repository has drifted, on mains power, when nobody has typed in this window
// for a minute. It stands still once somebody types, and on battery.

import * as vscode from 'vscode';

import type { Logger } from '../logger';
import type { ServerController } from '../server/controller';
import { isOnBattery, staleRepositories } from '../server/serverStatus';
import { isEnabledFor, readSettings } from '../settings';
import type { BuildCommand } from './command';
import { Pace } from './pace';

const LOOK_MS = 5_000;
const ASK_AGAIN_MS = 600_000; // of a server that had no drift to tell of

export class AutomaticUpdates implements vscode.Disposable {
  private readonly pace = new Pace();
  private readonly failed = new Set<string>(); // repositories, in this window
  private readonly disposable: vscode.Disposable;
  private askAtMs = 0;
  private isLooking = false;

  constructor(
    private readonly builds: BuildCommand,
    private readonly controller: ServerController,
    private readonly log: Logger,
  ) {
    const timer = setInterval(() => void this.look(), LOOK_MS);
    this.disposable = vscode.Disposable.from(
      new vscode.Disposable(() => {
        clearInterval(timer);
      }),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0 && document.uri.scheme !== 'output') {
          this.pace.noteKey();
          this.standStill(true);
        }
      }),
    );
  }

  dispose(): void {
    this.disposable.dispose();
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
    }
  }

  private standStill(isStill: boolean): void {
    this.pace.noteStill(isStill);
    this.builds.standStill(isStill);
  }

  private async lookNow(): Promise<void> {
    this.pace.noteLook();
    if (this.builds.runsByItself) {
      if (!readSettings().updateAutomatically || this.pace.isStillTooLong()) {
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
    const isDue = readSettings().updateAutomatically && this.pace.mayBegin() && Date.now() >= this.askAtMs;
    if (!isDue || !vscode.workspace.isTrusted) {
      return;
    }
    this.askAtMs = Date.now() + ASK_AGAIN_MS;
    const status = await this.controller.readStatus();
    const stale = isOnBattery(status) ? [] : staleRepositories(status?.bundles ?? []);
    const isOn = (one: string): boolean => !this.failed.has(one) && isEnabledFor(vscode.Uri.file(one));
    const repository = stale.find(isOn);
    if (repository === undefined || !this.pace.mayBegin()) {
      return;
    }
    this.log.info(`${repository} has changed, and nobody types: an update begins`);
    void this.builds.updateByItself(repository).then((hasFailed) => {
      if (hasFailed) {
        this.failed.add(repository);
      }
    });
  }
}
