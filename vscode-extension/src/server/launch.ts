// One start of the server: its process, and the language client that speaks to it. A restart makes a new one.

import { type ChildProcess, spawn } from 'node:child_process';
import * as os from 'node:os';
import * as readline from 'node:readline';
import * as vscode from 'vscode';
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  type LanguageClientOptions,
  type Middleware,
  RevealOutputChannelOn,
  ShowMessageNotification,
  State,
  type StaticFeature,
} from 'vscode-languageclient/node';

import { childEnvironment } from '../executable/environment';
import type { Executable } from '../executable/find';
import { type Logger, messageOf } from '../logger';
import { isEnabledFor } from '../settings';
import { SELECTOR } from './options';
import { readServerLine } from './serverLog';

const START_TIMEOUT_MS = 120_000; // Python on a cold disk; the model is loaded after this
const STOP_TIMEOUT_MS = 3_000;
const BUNDLES = '**/.submodel/{bundle,bundle/bundle.json}'; // one event tells of all that come or go at once

export interface LaunchSettings {
  readonly executable: Executable;
  readonly initializationOptions: object;
  readonly middleware: Middleware;
  readonly onMessage: (text: string, isProblem: boolean) => void; // the server's messages to the user
}

/** Logs errors. The controller decides which of them the user sees. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export class RunningServer {
  readonly client: LanguageClient;
  private readonly ended = new vscode.EventEmitter<string>();
  readonly onDidEnd = this.ended.event; // with the exit code or signal; fires after a requested stop too
  private readonly watcher = vscode.workspace.createFileSystemWatcher(BUNDLES);
  private child: ChildProcess | undefined;
  private isKilled = false;

  constructor(
    private readonly settings: LaunchSettings,
    private readonly log: Logger,
  ) {
    this.client = new QuietClient('submodel', 'submodel', () => this.spawn(), this.clientOptions());
    this.client.registerFeature(announcesOurs);
    this.client.registerFeature(setsFolders);
    this.client.onNotification(ShowMessageNotification.type, ({ type, message }) => {
      settings.onMessage(message, type <= 2);
    });
  }

  get isRunning(): boolean {
    return this.client.state === State.Running;
  }

  /** Start the server. Raises if the program can't be run, ends at once or does not answer. */
  async start(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    let listening: vscode.Disposable | undefined;
    const failure = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`no answer within ${START_TIMEOUT_MS / 1000} s`));
      }, START_TIMEOUT_MS);
      listening = this.onDidEnd((how) => {
        reject(new Error(`it ended with ${how}`));
      });
    });
    try {
      await Promise.race([this.client.start(), failure]);
    } finally {
      clearTimeout(timer);
      listening?.dispose();
    }
  }

  /** Ask the server to stop; kill it if that does not help. */
  async stop(): Promise<void> {
    try {
      await this.client.stop(STOP_TIMEOUT_MS);
    } catch (error) {
      this.log.warn(`The server did not stop in order: ${messageOf(error)}`); // throws once VS Code has closed the log
    } finally {
      this.kill();
    }
  }

  /** End it at once, also if its process has yet to be made. */
  kill(): void {
    this.isKilled = true;
    this.watcher.dispose();
    this.child?.kill('SIGKILL');
  }

  private spawn(): Promise<ChildProcess> {
    const { executable } = this.settings;
    const env = childEnvironment(process.env, process.platform);
    if (this.isKilled) {
      return Promise.reject(new Error('it was ended before it began'));
    }
    return new Promise((resolve, reject) => {
      const child = spawn(executable.command, ['serve', '--stdio'], { cwd: os.homedir(), env, windowsHide: true });
      this.child = child;
      child.on('error', reject);
      child.on('spawn', () => {
        this.log.info(`The server is process ${child.pid ?? 0}.`);
        resolve(child);
      });
      child.on('exit', (code, signal) => {
        this.watcher.dispose();
        this.ended.fire(signal === null ? `exit code ${code ?? 0}` : signal);
      });
      child.stdin.on('error', () => undefined); // a broken pipe shows no more than the exit does
    });
  }

  private clientOptions(): LanguageClientOptions {
    return {
      documentSelector: SELECTOR,
      initializationOptions: this.settings.initializationOptions,
      middleware: {
        ...this.settings.middleware,
        workspace: {
          didChangeWorkspaceFolders: ({ added, removed }, next) =>
            next({ added: added.filter((folder) => isEnabledFor(folder)), removed }),
        },
      },
      synchronize: { fileEvents: this.watcher },
      outputChannel: this.log,
      stdioOptions: {
        stdout: () => undefined, // belongs to the protocol
        stderr: (input) => {
          readline.createInterface({ input }).on('line', (line) => {
            const { level, text } = readServerLine(line);
            this.log[level](text);
          });
        },
      },
      revealOutputChannelOn: RevealOutputChannelOn.Never, // the log never opens by itself
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => ({ action: CloseAction.DoNotRestart, handled: true }), // the exit of the process decides
      },
    };
  }
}

/** The workspace's folders but those where suggestions are off: the server looks for their bundles. */
export const setsFolders: StaticFeature = {
  fillInitializeParams(params) {
    params.workspaceFolders &&= params.workspaceFolders.filter(({ uri }) => isEnabledFor(vscode.Uri.parse(uri)));
  },
  fillClientCapabilities: () => undefined,
  initialize: () => undefined,
  getState: () => ({ kind: 'static' }),
  clear: () => undefined,
};

/**
 * Asks the server to send `submodel/status` as a notification, which the status bar shows; so no other progress.
 * Tells it that VS Code shows suggestions that indent their line less, and takes snippets.
 */
export const announcesOurs: StaticFeature = {
  fillClientCapabilities(capabilities) {
    capabilities.window = { ...capabilities.window, workDoneProgress: false };
    capabilities.experimental = {
      ...(capabilities.experimental as object | undefined),
      submodelStatus: true,
      submodelIndentation: true,
      submodelSnippets: true,
    };
  },
  initialize: () => undefined,
  getState: () => ({ kind: 'static' }),
  clear: () => undefined,
};
