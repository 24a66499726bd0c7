// Starts, stops and restarts the server, one request after the other, and keeps the state up to date.

import * as vscode from 'vscode';
import type { LanguageClient, Middleware } from 'vscode-languageclient/node';

import { chosenBundle, holds } from '../bundle/choice';
import { type Executable, findExecutable } from '../executable/find';
import { type Logger, messageOf } from '../logger';
import { JobQueue } from '../queue';
import { isEnabledSomewhere, readRunningOptions, readServerOptions, readSettings, SECTION } from '../settings';
import type { StatusModel } from '../status/model';
import { within } from '../timeLimit';
import { CrashPolicy } from './crashes';
import type { LaunchSettings, RunningServer } from './launch';
import { toServerOptions } from './options';
import {
  ANSWER_MS,
  CHANGED_OPTIONS_METHOD,
  execute,
  RESUME_COMMAND,
  type ServerStatus,
  SNOOZE_COMMAND,
  STATUS_METHOD,
} from './protocol';
import { toSnapshot } from './serverStatus';

const [RESTART, STOP] = ['restart', 'stop']; // jobs
const SNOOZED_UNTIL = 'snoozedUntil'; // in milliseconds

export class ServerController implements vscode.Disposable {
  private readonly queue = new JobQueue();
  private readonly crashes = new CrashPolicy();
  private readonly noBundle = new vscode.EventEmitter<void>();
  private readonly noExecutable = new vscode.EventEmitter<{ readonly problem: string; readonly isAsked: boolean }>();
  private readonly foundExecutable = new vscode.EventEmitter<Pick<Executable, 'command' | 'version'>>();
  private readonly untrusted = new vscode.EventEmitter<void>();
  private readonly gaveUp = new vscode.EventEmitter<void>();
  private readonly message = new vscode.EventEmitter<{ readonly text: string; readonly isProblem: boolean }>();
  readonly onNoBundle = this.noBundle.event;
  readonly onNoExecutable = this.noExecutable.event;
  readonly onFoundExecutable = this.foundExecutable.event; // that was asked for, while there is no bundle
  readonly onUntrusted = this.untrusted.event; // a user has asked for a start
  readonly onGaveUp = this.gaveUp.event;
  readonly onMessage = this.message.event; // of the server to the user
  private current: RunningServer | undefined;
  private timer: NodeJS.Timeout | undefined;
  private died: Executable | undefined; // what died, to be started again
  private sentOptions: ReadonlySet<string> = new Set(); // their names, to the server that runs
  private isAsked = false; // the next start, or the last one, until its server names its bundles
  private snoozedUntil: Date | undefined; // what the user wants, also while no server runs

  constructor(
    private readonly status: StatusModel,
    private readonly inlineCompletions: NonNullable<Middleware['provideInlineCompletionItems']>,
    private readonly memory: vscode.Memento, // of the workspace
    private readonly log: Logger,
  ) {
    const until = this.memory.get<unknown>(SNOOZED_UNTIL);
    if (typeof until === 'number' && until > Date.now()) {
      this.snoozedUntil = new Date(until);
      this.status.update({ snoozedUntil: this.snoozedUntil });
    }
  }

  /** The client of the running server, if one runs. */
  get client(): LanguageClient | undefined {
    return this.current?.isRunning ? this.current.client : undefined;
  }

  /** Stop the server that runs, if one does, and start one for the settings as they are now. */
  restart(reason: string): Promise<void> {
    this.endUnstarted();
    return this.queue.pushOnce(RESTART, () => this.startAnew(reason));
  }

  /** As `restart`, for a user: what is missing is named. */
  restartAsAsked(): Promise<void> {
    this.isAsked = true;
    return this.restart('it was asked for');
  }

  /** Follow the workspace's folders. A server that runs is told by its client, and looks for their bundles. */
  async followFolders(): Promise<void> {
    if (!this.client || !isEnabledSomewhere()) {
      await this.restart('the folders of the workspace have changed');
    }
  }

  /** Let the server take options that have changed. One that starts later gets them at its start. */
  followOptions(): Promise<void> {
    return this.queue.pushOnce('options', async () => {
      const { client } = this;
      if (!client) {
        return;
      }
      this.log.info('The server follows: the settings have changed');
      const options = readRunningOptions(this.sentOptions);
      this.sentOptions = new Set([...this.sentOptions, ...options.keys()]);
      const settings = { [SECTION]: toServerOptions(options) };
      const sending = client.sendNotification(CHANGED_OPTIONS_METHOD, { settings }).catch(() => undefined); // it is just ending
      await within(sending, ANSWER_MS);
    });
  }

  /** Restart the server if another program is found than the one that it runs. */
  restartForOtherExecutable(reason: string): Promise<void> {
    return this.queue.pushOnce('other executable', async () => {
      const found = isEnabledSomewhere() ? await findExecutable(readSettings(), this.log) : undefined;
      if (found && 'executable' in found && found.executable.command !== this.status.snapshot.executable) {
        await this.startAnew(reason);
      }
    });
  }

  /** The server's status as it is now; undefined without a server, and if it hangs. */
  async readStatus(): Promise<ServerStatus | undefined> {
    const { client } = this;
    const asking = client && client.sendRequest<ServerStatus>(STATUS_METHOD, {}).catch(() => undefined);
    return asking && within(asking, ANSWER_MS);
  }

  /**
   * Let the server snooze until a time, or end its snooze. A server that starts later snoozes for the rest of it, also
   * after the window was reloaded.
   */
  async snooze(until: Date | undefined): Promise<void> {
    this.snoozedUntil = until;
    this.status.update({ snoozedUntil: until });
    await this.memory.update(SNOOZED_UNTIL, until?.getTime());
    const { client } = this;
    if (!client) {
      return;
    }
    const minutes = ((until?.getTime() ?? 0) - Date.now()) / 60_000;
    const asking = minutes > 0 ? execute(client, SNOOZE_COMMAND, minutes) : execute(client, RESUME_COMMAND);
    const answer = asking.catch((error: unknown) => {
      this.log.warn(`The server did not answer about the snooze: ${messageOf(error)}`); // it is just ending
    });
    const status = await within(answer, ANSWER_MS);
    if (status !== undefined && client === this.client) {
      this.note(status as ServerStatus);
    }
  }

  stop(): Promise<void> {
    this.endUnstarted();
    return this.queue.pushOnce(STOP, () => this.stopNow());
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.noBundle.dispose();
    this.noExecutable.dispose();
    this.foundExecutable.dispose();
    this.untrusted.dispose();
    this.gaveUp.dispose();
    this.message.dispose();
  }

  private async startAnew(reason: string): Promise<void> {
    this.log.info(`(Re)start: ${reason}`);
    clearTimeout(this.timer);
    this.crashes.forget();
    await this.stopNow();
    await this.tryToStart(() => this.startNow());
  }

  /** Start, and show why if that fails. The next look tries again. */
  private async tryToStart(start: () => Promise<void>): Promise<void> {
    try {
      await start();
    } catch (error) {
      this.log.error(`The server can't be started: ${messageOf(error)}`);
      this.status.update({ phase: 'failed', problem: messageOf(error) });
    }
  }

  private async startNow(): Promise<void> {
    const { isAsked } = this;
    const chosen = chosenBundle();
    this.status.update({
      problem: undefined,
      latencyMs: undefined,
      served: [],
      untrusted: undefined,
      isChosen: chosen !== undefined,
    });
    if (!isEnabledSomewhere()) {
      this.status.update({ phase: 'disabled' });
      return;
    }
    if (chosen === undefined && !vscode.workspace.isTrusted) {
      this.isAsked = false;
      this.status.update({ phase: 'untrusted' }); // a stranger's model is as good as a program of theirs
      if (isAsked) {
        this.untrusted.fire();
      }
      return;
    }
    this.status.update({ phase: 'starting' });
    // Where nothing of ours is, nobody may want the program: no other extension is activated for it, and no warning shown.
    const isExpected = isAsked || chosen !== undefined || (await holds('.submodel'));
    const found = await this.lookForExecutable(isExpected);
    if ('executable' in found) {
      await this.spawn(found.executable);
      return;
    }
    this.isAsked = false;
    if (isExpected) {
      this.status.update({ phase: 'no-executable', problem: found.problem });
      this.noExecutable.fire({ problem: found.problem, isAsked });
    } else {
      this.status.update({ phase: 'no-bundle' });
      this.noBundle.fire();
    }
  }

  /** Note what a server tells of itself. */
  private note(status: ServerStatus): void {
    const { phase: before } = this.status.snapshot;
    this.status.update(toSnapshot(status));
    const { phase, executable, version } = this.status.snapshot;
    if (phase === 'loading') {
      return;
    }
    const { isAsked } = this;
    this.isAsked = false;
    if (phase !== 'no-bundle' || before === 'no-bundle') {
      return;
    }
    if (isAsked && executable !== undefined && version !== undefined) {
      this.foundExecutable.fire({ command: executable, version });
    } else {
      this.noBundle.fire();
    }
  }

  private async lookForExecutable(mayActivate: boolean): ReturnType<typeof findExecutable> {
    const found = await findExecutable(readSettings(), this.log, mayActivate);
    if ('problem' in found) {
      this.log.warn(found.problem);
      this.status.update({ version: undefined, executable: undefined });
    } else {
      this.status.update({ version: found.executable.version, executable: found.executable.command });
    }
    return found;
  }

  private async spawn(executable: Executable): Promise<void> {
    const { RunningServer } = await import('./launch.js'); // large: not before there is a server to start
    const settings = this.serverSettings(executable);
    if (this.queue.isWaiting(RESTART) || this.queue.isWaiting(STOP)) {
      return; // one that hangs would hold them up
    }
    const server = new RunningServer(settings, this.log);
    const startedAt = Date.now();
    const isCurrent = (): boolean => this.current === server;
    this.current = server;
    const noteDeath = (how: string): void => {
      if (isCurrent()) {
        this.noteDeath(executable, how, Date.now() - startedAt);
      }
    };
    server.onDidEnd(noteDeath);
    server.client.onNotification(STATUS_METHOD, (status: ServerStatus) => {
      if (isCurrent()) {
        this.note(status);
      } // else it was sent before the server died, and is read after that
    });
    try {
      await server.start();
    } catch (error) {
      this.log.error(`The server did not start: ${messageOf(error)}`);
      server.kill();
      noteDeath(messageOf(error));
      return;
    }
    this.status.update({ phase: 'loading' });
    const { snoozedUntil } = this; // the new server does not know it
    if (snoozedUntil && snoozedUntil.getTime() > Date.now()) {
      await this.snooze(snoozedUntil);
    }
    const status = await this.readStatus();
    if (status && isCurrent()) {
      this.note(status);
    }
  }

  private serverSettings(executable: Executable): LaunchSettings {
    const options = readServerOptions();
    this.sentOptions = new Set(options.keys());
    return {
      executable,
      initializationOptions: toServerOptions(options, chosenBundle()),
      middleware: { provideInlineCompletionItems: this.inlineCompletions },
      onMessage: (text, isProblem) => {
        this.message.fire({ text, isProblem });
      },
    };
  }

  private noteDeath(executable: Executable, how: string, livedMs: number): void {
    this.current = undefined;
    const delay = this.crashes.delayAfterCrash(livedMs);
    this.log.warn(
      `The server is gone (${how}); ${delay === undefined ? 'too often' : `starting it again in ${delay} ms`}.`,
    );
    if (delay === undefined) {
      this.status.update({ phase: 'failed', problem: 'the server has stopped several times in a row; see the log' });
      this.gaveUp.fire();
      return;
    }
    this.status.update({ phase: 'recovering' });
    this.died = executable;
    this.timer = setTimeout(() => {
      void this.queue.pushOnce('recover', async () => {
        const { died } = this; // none if it was restarted or turned off meanwhile
        this.died = undefined;
        if (died) {
          await this.tryToStart(() => this.spawn(died));
        }
      });
    }, delay);
  }

  /** End a server that has not answered yet: the job that starts it may wait for minutes, and others wait behind it. */
  private endUnstarted(): void {
    if (this.current && !this.client) {
      const server = this.current;
      this.current = undefined; // from here on, its end is no crash
      server.kill();
    }
  }

  private async stopNow(): Promise<void> {
    const server = this.current;
    this.current = undefined; // from here on, its end is no crash
    this.died = undefined;
    await server?.stop();
  }
}
