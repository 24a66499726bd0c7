// The server's messages to the user: each is shown once, with a button that runs what it names.

import * as vscode from 'vscode';

import { trustBundle, type UntrustedBundle, untrustedIn } from '../bundle/trust';
import { type Logger, messageOf } from '../logger';
import { plain } from '../plainText';
import type { StatusModel } from '../status/model';
import type { ServerController } from './controller';
import { toPaletteWords } from './serverStatus';

const [TRUST, BUILD] = ['Trust This Bundle', 'Build'];

export class ServerMessages {
  private readonly shown = new Set<string>();

  constructor(
    private readonly controller: Pick<ServerController, 'readStatus' | 'restart'>,
    private readonly status: Pick<StatusModel, 'snapshot'>,
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

  /** From now on, show again what was shown. */
  forget(): void {
    this.shown.clear();
  }

  /** If the message names `submodel trust` or `submodel build`, a button runs that. */
  private async warn(text: string): Promise<void> {
    const status = text.includes('`submodel trust ') ? await this.controller.readStatus() : undefined;
    const bundle = untrustedIn(text, status?.bundles ?? []);
    const button = bundle ? TRUST : /`submodel build[ `]/.test(text) ? BUILD : undefined;
    const answer = await vscode.window.showWarningMessage(plain(text), ...(button ? [button] : []));
    if (answer === TRUST && bundle) {
      await this.trust(bundle);
    } else if (answer === BUILD) {
      await vscode.commands.executeCommand('submodel.build');
    }
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
