// Starts, stops and restarts the server, one request after the other, and keeps the state up to date.

import * as path from 'node:path';
import * as vscode from 'vscode';
import type { LanguageClient, Middleware } from 'vscode-languageclient/node';

import { MANIFEST } from '../bundle/bundles';
import type { Bundles } from '../bundle/choice';
import type { BundleFacts } from '../bundle/manifest';
import { type Executable, findExecutable } from '../executable/find';
import { probeVersion } from '../executable/probe';
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
  CHANGED_FILES_METHOD,
  CHANGED_OPTIONS_METHOD,
  executeIfKnown,
  FILE_CHANGED,
  requestIfKnown,
  RESUME_COMMAND,
  type ServerStatus,
  SNOOZE_COMMAND,
  STATUS_METHOD,
} from './protocol';
import { noteBuilds, toSnapshot } from './serverStatus';

const [RESTART, STOP] = ['restart', 'stop']; // jobs
const SNOOZED_UNTIL = 'snoozedUntil'; // in milliseconds

export class ServerController implements vscode.Disposable {
  private readonly queue = new JobQueue();
  private readonly crashes = new CrashPolicy();
  private readonly builds = new Map<string, string>(); // by bundle: its last build, as a server names it
  private readonly noBundle = new vscode.EventEmitter<void>();
  private readonly noExecutable = new vscode.EventEmitter<{ readonly problem: string; readonly isAsked: boolean }>();
  private readonly foundExecutable = new vscode.EventEmitter<Executable>();
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
  private isAsked = false; // the next start
  private snoozedUntil: Date | undefined; // what the user wants, also while no server runs

  constructor(
    private readonly bundles: Bundles,
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

  /** Stop the server that runs, if one does, and start one for the settings and bundles as they are now. */
  restart(reason: string): Promise<void> {
    this.endUnstarted();
    return this.queue.pushOnce(RESTART, () => this.startAnew(reason));
  }

  /** As `restart`, for a user: what is missing is named. */
  restartAsAsked(): Promise<void> {
    this.isAsked = true;
    return this.restart('it was asked for');
  }

  /**
   * Restart the server if bundles on disk have come or gone. A server that runs loads a new build in the place of an
   * old one by itself, in a pause of the typing. One whose program was upgraded since may not be able to read it.
   */
  restartForNewBundle(reason: string): Promise<void> {
    return this.queue.pushOnce('new bundle', async () => {
      const bundles = await this.bundles.served();
      const { phase, untrusted, bundles: before } = this.status.snapshot;
      if (phase !== 'no-executable' && stampOf(bundles) === stampOf(before)) {
        return;
      }
      const { client } = this;
      const isServing = phase !== 'failed' && !untrusted;
      const isSame = foldersOf(bundles) === foldersOf(before);
      if (!client || !isServing || !isSame || (await this.isUpgraded())) {
        await this.startAnew(reason);
        return;
      }
      this.log.info(`The server follows: ${reason}`);
      this.status.update({ bundles });
      const changes = bundles.map(({ folder }) => ({
        uri: vscode.Uri.file(path.join(folder, MANIFEST)).toString(),
        type: FILE_CHANGED,
      }));
      const sending = client.sendNotification(CHANGED_FILES_METHOD, { changes }).catch(() => undefined); // it is just ending
      await within(sending, ANSWER_MS);
    });
  }

  /** Whether the program has another version than when the server that runs was started from it. */
  private async isUpgraded(): Promise<boolean> {
    const { executable, version } = this.status.snapshot;
    const probe = executable === undefined ? undefined : await probeVersion(executable);
    return probe !== undefined && 'version' in probe && probe.version !== version;
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

  /** The older bundles to go back to, newest first: those that the server trusts; without a server all on disk. */
  async olderBundles(): Promise<string[]> {
    const status = await this.readStatus();
    return status?.bundles
      ? [...new Set(status.bundles.flatMap(({ previous }) => previous ?? []))]
      : this.bundles.olderOnDisk();
  }

  /** The server's status as it is now; undefined without a server, and if it hangs. */
  async readStatus(): Promise<ServerStatus | undefined> {
    const { client } = this;
    const asking = client && requestIfKnown<ServerStatus>(client, STATUS_METHOD, {}).catch(() => undefined);
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
    const asking =
      minutes > 0 ? executeIfKnown(client, SNOOZE_COMMAND, minutes) : executeIfKnown(client, RESUME_COMMAND);
    const answer = asking.catch((error: unknown) => {
      this.log.warn(`The server did not answer about the snooze: ${messageOf(error)}`); // it is just ending
    });
    const status = await within(answer, ANSWER_MS);
    if (status !== undefined && client === this.client) {
      this.status.update(toSnapshot(status as ServerStatus));
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
      this.status.update({ phase: 'failed', problem: messageOf(error), bundles: [] });
    }
  }

  private async startNow(): Promise<void> {
    const { isAsked } = this;
    this.isAsked = false;
    this.status.update({
      problem: undefined,
      latencyMs: undefined,
      bundles: [],
      served: [],
      untrusted: undefined,
    });
    if (!isEnabledSomewhere()) {
      this.status.update({ phase: 'disabled' });
      return;
    }
    const bundles = await this.bundles.served();
    const hasBundle = bundles.length > 0;
    if (!hasBundle && (readSettings().bundle || this.bundles.picked() !== undefined)) {
      this.status.update({ phase: 'failed', problem: this.bundles.problem() });
      return;
    }
    if (!hasBundle && !vscode.workspace.isTrusted) {
      this.status.update({ phase: 'untrusted' });
      if (isAsked) {
        this.untrusted.fire();
      }
      return;
    }
    if (!hasBundle) {
      this.status.update({ phase: 'no-bundle' });
      // The walkthrough ticks its first step, with nothing to serve yet. No other extension is activated for that.
      const found = await this.lookForExecutable(isAsked);
      this.noBundle.fire();
      if (!isAsked) {
        return;
      }
      if ('problem' in found) {
        this.noExecutable.fire({ problem: found.problem, isAsked });
      } else {
        this.foundExecutable.fire(found.executable);
      }
      return;
    }
    this.status.update({ phase: 'starting', bundles, isPicked: this.bundles.picked() !== undefined });
    const found = await this.lookForExecutable();
    if ('problem' in found) {
      this.status.update({ phase: 'no-executable', problem: found.problem });
      this.noExecutable.fire({ problem: found.problem, isAsked });
      return;
    }
    await this.spawn(found.executable);
  }

  /** Note folders that were added to the workspace. A server that runs loads their bundles by itself. */
  noteAddedFolders(): Promise<void> {
    return this.queue.pushOnce('added folders', () => this.noteOrStart('a folder was added to the workspace'));
  }

  /** Note that an opened file has a bundle. A server that runs finds it by itself. */
  noteOpened(): Promise<void> {
    return this.queue.pushOnce('opened', async () => {
      if (this.client || this.status.snapshot.phase === 'no-bundle') {
        await this.noteOrStart('an opened file has a bundle');
      }
    });
  }

  private async noteOrStart(reason: string): Promise<void> {
    const picked = this.bundles.picked();
    if (this.client) {
      await this.noteServed();
    }
    if (!this.client || this.bundles.picked() !== picked) {
      await this.startAnew(reason); // a server that runs keeps a pick that was forgotten as its bundle was deleted
    }
  }

  private async noteServed(): Promise<void> {
    const bundles = await this.bundles.served();
    this.status.update({ bundles, isPicked: this.bundles.picked() !== undefined });
  }

  private async lookForExecutable(mayActivate = true): ReturnType<typeof findExecutable> {
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
    const { RunningServer } = await import('./launch.js'); // large: not before there is something to serve
    const settings = await this.serverSettings(executable);
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
      if (!isCurrent()) {
        return; // it was sent before the server died, and is read after that
      }
      const isNews = noteBuilds(status.bundles ?? [], this.builds);
      this.status.update(toSnapshot(status));
      if (isNews) {
        void this.restartForNewBundle('the server has loaded another build'); // no watcher may have seen it
      }
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
      this.status.update(toSnapshot(status));
    }
  }

  private async serverSettings(executable: Executable): Promise<LaunchSettings> {
    const picked = this.bundles.picked();
    const isServingOwn = picked === undefined && vscode.workspace.isTrusted;
    const options = readServerOptions();
    this.sentOptions = new Set(options.keys());
    return {
      executable,
      initializationOptions: toServerOptions(options, picked),
      middleware: { provideInlineCompletionItems: this.inlineCompletions },
      repositoriesBelow: isServingOwn ? await this.bundles.repositoriesBelow() : [],
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
          await this.tryToStart(async () => {
            await this.noteServed(); // a file of another package may have been opened meanwhile
            await this.spawn(died);
          });
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

/** An identity of these builds. */
function stampOf(bundles: readonly BundleFacts[]): string {
  return bundles.map(({ folder, builtAt }) => `${folder}\n${builtAt.getTime()}`).join('\n');
}

function foldersOf(bundles: readonly BundleFacts[]): string {
  return bundles.map(({ folder }) => folder).join('\n');
}
