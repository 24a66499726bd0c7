// The server's messages to the user: each is shown once, with a button that runs what it names.

import * as vscode from 'vscode';

import type { FailedUpdates } from '../build/due';
import { trustBundle, type UntrustedBundle, untrustedIn } from '../bundle/trust';
import { type Logger, messageOf } from '../logger';
import { plain } from '../plainText';
import { isEnabledFor, readSettings } from '../settings';
import type { StatusModel } from '../status/model';
import type { ServerController } from './controller';
import { type Drifted, driftedIn, toPaletteWords } from './serverStatus';

const BUTTONS = { build: 'Build', update: 'Update' } as const; // by task
const SHOWN_DRIFTS = 'shownDrifts'; // the builds whose drift was shown, by repository

export class ServerMessages {
  private readonly shown = new Set<string>();
  private readonly withheld = new Set<string>(); // of drifts, while updates begin by themselves

  constructor(
    private readonly controller: Pick<ServerController, 'readStatus' | 'restart'>,
    private readonly status: Pick<StatusModel, 'snapshot'>,
    private readonly failures: Pick<FailedUpdates, 'has'>,
    private readonly memory: vscode.Memento, // of the workspace
    private readonly log: Logger,
  ) {}

  /** Show a message, unless it was shown before, however often the server has restarted since. */
  async show({ text: message, isProblem }: { readonly text: string; readonly isProblem: boolean }): Promise<void> {
    const text = toPaletteWords(message);
    this.log.info(`The server says: ${text}`);
    if (this.shown.has(text)) {
      return;
    }
    this.shown.add(text);
    await (isProblem ? this.warn(text) : vscode.window.showInformationMessage(plain(text)));
  }

  /** Show the drifts that were withheld and are still there, once updates no longer begin by themselves. */
  async showWithheld(): Promise<void> {
    if (readSettings().updateAutomatically || this.withheld.size === 0) {
      return;
    }
    const texts = [...this.withheld];
    this.withheld.clear();
    const status = await this.controller.readStatus();
    for (const text of texts) {
      if (driftedIn(text, status?.bundles ?? [])) {
        await this.show({ text, isProblem: true });
      }
    }
  }

  /** From now on, show again what was shown. */
  forget(): void {
    this.shown.clear();
    void this.memory.update(SHOWN_DRIFTS, undefined);
  }

  /** If the message names `submodel trust`, or an update or a build against drift, a button runs that. */
  private async warn(text: string): Promise<void> {
    const status = text.includes('`submodel ') ? await this.controller.readStatus() : undefined;
    const bundle = untrustedIn(text, status?.bundles ?? []);
    const drifted = driftedIn(text, status?.bundles ?? []);
    if (drifted && !(await this.isNews(drifted, text))) {
      return;
    }
    const button = bundle ? 'Trust This Bundle' : drifted?.task && BUTTONS[drifted.task];
    const answer = await vscode.window.showWarningMessage(plain(text), ...(button ? [button] : []));
    if (answer === undefined) {
      return;
    }
    if (bundle) {
      await this.trust(bundle);
    } else if (drifted?.task) {
      await vscode.commands.executeCommand(`submodel.${drifted.task}`, drifted.repository);
    }
  }

  /** Whether a drift calls for an update or a build, and no window has shown it yet. */
  private async isNews(drifted: Drifted, text: string): Promise<boolean> {
    if (!isEnabledFor(vscode.Uri.file(drifted.repository))) {
      return false;
    }
    if (drifted.task === 'update' && readSettings().updateAutomatically && !this.failures.has(drifted)) {
      this.shown.delete(text); // nobody need do anything, until the update has failed
      this.withheld.add(text);
      return false;
    }
    return this.isFirstDrift(drifted);
  }

  /** Whether no window has shown the drift from this build yet; from now on one has. The number of files grows daily. */
  private async isFirstDrift({ repository, build }: Drifted): Promise<boolean> {
    const shown = this.memory.get<Readonly<Record<string, string>>>(SHOWN_DRIFTS) ?? {};
    if (build === undefined || shown[repository] === build) {
      return build === undefined;
    }
    await this.memory.update(SHOWN_DRIFTS, { ...shown, [repository]: build });
    return true;
  }

  /** Trust the bundle that is served nowhere since another account has built it. */
  async trustUntrusted(): Promise<void> {
    const { untrusted } = this.status.snapshot;
    if (untrusted) {
      await this.trust(untrusted);
    }
  }

  private async trust(bundle: UntrustedBundle): Promise<void> {
    const { executable } = this.status.snapshot;
    if (executable === undefined) {
      return; // it has gone since, and the status says so
    }
    try {
      await trustBundle(executable, bundle);
    } catch (error) {
      void vscode.window.showErrorMessage(plain(messageOf(error)));
      return;
    }
    for (const text of this.shown) {
      if (text.includes(bundle.folder)) {
        this.shown.delete(text); // the same words about a later build are news
      }
    }
    await this.controller.restart(`the bundle ${bundle.folder} is trusted`);
  }
}
