// Build a sub-model of a workspace folder, or update that of a repository: a task with a progress that can be cancelled.
// Then its bundle is served.

import * as path from 'node:path';
import * as vscode from 'vscode';

import { isPreviousOf, isSameFolder, isWorseThanBase, OWN_BUNDLE, readBundle } from '../bundle/bundles';
import type { Bundles } from '../bundle/choice';
import { describeBundle } from '../bundle/manifest';
import { type Logger, messageOf } from '../logger';
import { tellUntrusted } from '../onboarding/offers';
import { plain } from '../plainText';
import type { ServerController } from '../server/controller';
import type { Built } from '../server/serverStatus';
import type { StatusModel } from '../status/model';
import type { FailedUpdates } from './due';
import { describeFailure, describeProgress, type TaskName } from './progress';
import { findBuilt, nameOf, pickTarget, type Target } from './target';
import { createTask, isTaskRunning, openBuildTerminal, openTaskTerminal, taskDefinition } from './task';
import type { BuildTerminal } from './terminal';

const UPDATED = 'The sub-model is updated.';
const NO_PICK = ' The new bundle is served in place of the one that you had picked.';

const WORDS = {
  build: {
    title: 'Building a sub-model',
    stopped: 'The build was stopped; building again resumes it if no file has changed.',
  },
  update: {
    title: 'Updating the sub-model',
    stopped: 'The update was stopped; updating again resumes it if no code has changed.',
  },
} as const satisfies Record<TaskName, object>;

const NEVER_BEGUN = Promise.resolve(undefined);
const NOT_NOW = 75; // exit code: another window updates the same repository, say, or too little memory is free

/** What came of a task that ran to its end. */
export type Outcome = 'done' | 'notNow' | { readonly problem: string };

/** A task from its beginning to its end. */
interface Run {
  readonly task: TaskName;
  readonly target: Target;
  isByItself: boolean; // nobody has asked for it, so no message says how it ended
  isStill: boolean;
  isToStop: boolean;
  isUnwanted: boolean; // the user has stopped it
  terminal?: BuildTerminal; // once there is one
  ended: Promise<Outcome | undefined>; // undefined if it was stopped
}

export class BuildCommand {
  private running: Run | undefined;

  constructor(
    private readonly bundles: Bundles,
    private readonly controller: ServerController,
    private readonly status: StatusModel,
    private readonly failures: FailedUpdates,
    private readonly onNoExecutable: (problem: string) => void,
    private readonly log: Logger,
  ) {}

  /** `named`: the repository, if it has a bundle; any other value lets the user pick one if there are several. */
  async run(task: TaskName, named?: unknown): Promise<void> {
    if (this.running?.isByItself === false) {
      tellRunning();
      return;
    }
    if (!vscode.workspace.isTrusted) {
      await tellUntrusted('A build runs programs of this workspace. Trust the workspace first.');
      return;
    }
    const target = await pickTarget(task, named, await this.bundles.repositoriesBelow());
    if (target && (task === 'build' || (await this.mayGoForward(target)))) {
      await this.runOf(task, target);
    }
  }

  /** Whether a user who went back to an earlier bundle wants an update all the same. */
  private async mayGoForward({ repository }: Target): Promise<boolean> {
    const picked = this.bundles.picked();
    if (picked === undefined || !isPreviousOf(repository, picked)) {
      return true;
    }
    const detail = 'You went back to an earlier bundle. An update goes on from the newer model that you left.';
    const answer = await vscode.window.showWarningMessage(
      'Update the newer sub-model?',
      { modal: true, detail },
      'Update',
    );
    return answer === 'Update';
  }

  private async runOf(task: TaskName, target: Target): Promise<void> {
    const { running } = this;
    if (running?.isByItself === false) {
      tellRunning(); // it has begun while the user picked the repository
      return;
    }
    const isSame = running !== undefined && isSameFolder(running.target.repository, target.repository);
    if (isSame && !running.isToStop && task === 'update') {
      this.standStill(false);
      running.isByItself = false;
      void vscode.window.showInformationMessage('An automatic update is running. It no longer waits while you type.');
      return;
    }
    await this.stopByItself(); // what was asked for goes first
    if (isTaskRunning(target.folder)) {
      tellRunning();
      return;
    }
    await this.begin(task, target, false)?.ended;
  }

  /**
   * Update a repository that nobody has asked to update. Its failure is shown once. Resolves to what came of it;
   * undefined if it was stopped or did not begin.
   */
  async updateByItself(built: Built): Promise<Outcome | undefined> {
    const target = this.running ? undefined : await findBuilt(built.repository);
    const run = target && !isTaskRunning(target.folder) ? this.begin('update', target, true) : undefined;
    const outcome = await run?.ended;
    if (run?.isUnwanted) {
      await this.failures.note(built, 'You have stopped it.'); // or it would begin again in minutes
    } else if (outcome === 'done') {
      await this.failures.forget(built.repository);
    } else if (typeof outcome === 'object' && (await this.failures.note(built, outcome.problem)) && run?.isByItself) {
      // Nobody has asked meanwhile, and so nobody has seen it.
      await this.tellFailure('update', run.target, `An automatic update has failed. ${outcome.problem}`);
    }
    return outcome;
  }

  get runsByItself(): boolean {
    return this.running?.isByItself === true;
  }

  /** Stop an update that runs by itself. The next one goes on from what it has done if no code has changed by then. */
  async stopByItself(): Promise<void> {
    if (this.runsByItself) {
      await this.end();
    }
  }

  /** Stop what runs, as the user has asked. An update that began by itself does not begin again for a day. */
  async stop(): Promise<void> {
    if (this.running) {
      this.running.isUnwanted = true;
      await this.end();
    }
  }

  private async end(): Promise<void> {
    const { running } = this;
    if (running) {
      running.isToStop = true; // its terminal may not be there yet
      running.terminal?.stop();
      await running.ended.catch(() => undefined);
    }
  }

  /** Let an update that runs by itself stand still, or go on. */
  standStill(isStill: boolean): void {
    const { running } = this;
    if (running?.isByItself && isStill !== running.isStill) {
      running.isStill = isStill;
      running.terminal?.standStill(isStill);
      this.status.update({ building: isStill ? 'waiting' : 'update', isStill });
    }
  }

  /** Undefined if another one has begun while the user picked the repository. */
  private begin(task: TaskName, target: Target, isByItself: boolean): Run | undefined {
    if (this.running) {
      return undefined;
    }
    const run: Run = {
      task,
      target,
      isByItself,
      isStill: false,
      isToStop: false,
      isUnwanted: false,
      ended: NEVER_BEGUN,
    };
    this.running = run;
    run.ended = this.runTask(run).finally(() => {
      this.running = undefined;
      this.status.update({ building: undefined });
    });
    return run;
  }

  /** Resolves to what came of it; undefined if it was stopped. */
  private async runTask(run: Run): Promise<Outcome | undefined> {
    const { task, target } = run;
    const building = task === 'build' ? 'building' : task;
    this.status.update({ building, isUpdate: task === 'update', isStill: false, isTask: !run.isByItself });
    let terminal: BuildTerminal;
    try {
      terminal = await openBuildTerminal(target, taskDefinition(task), this.log, run.isByItself);
    } catch (error) {
      if (!run.isByItself) {
        this.onNoExecutable(messageOf(error));
      }
      return { problem: messageOf(error) };
    }
    if (run.isToStop) {
      return undefined;
    }
    run.terminal = terminal;
    terminal.standStill(run.isStill); // somebody may have typed meanwhile
    const own = path.join(target.repository, OWN_BUNDLE);
    const before = await readBundle(own);
    const code = await this.follow(run, terminal);
    if (code === undefined) {
      tellRunning();
      return undefined;
    }
    this.log.info(`submodel ${task} in ${target.repository} ended with ${code}`);
    if (code === 0) {
      const isNew = task === 'build' || (await readBundle(own))?.graphs !== before?.graphs;
      // Nothing else takes away what the user has picked.
      const hadPick = isNew && !run.isByItself && (await this.bundles.forgetPick());
      this.status.update({ building: undefined });
      await this.controller.restartForNewBundle(`a sub-model was ${task === 'build' ? 'built' : 'updated'}`);
      const text = task === 'build' ? await describeBuilt(target.repository) : terminal.lastMessage;
      this.log.info(text ?? UPDATED);
      if (!run.isByItself) {
        const isWorse = task === 'build' && (await isWorseThanBase(target.repository));
        tellSuccess(`${text ?? UPDATED}${hadPick ? NO_PICK : ''}`, isWorse, target.repository);
      }
      return 'done';
    }
    if (terminal.wasStopped) {
      this.log.info(WORDS[task].stopped);
      if (!run.isByItself || run.isUnwanted) {
        void vscode.window.showInformationMessage(plain(WORDS[task].stopped));
      }
      return undefined;
    }
    const problem = describeFailure(task, { code, signal: terminal.signal, tail: terminal.tail });
    const isLater = code === NOT_NOW;
    this.log.warn(`The ${task} ${isLater ? 'has to wait' : 'failed'}: ${problem}\n${terminal.tail.trimEnd()}`);
    if (!run.isByItself) {
      void this.tellFailure(task, target, problem);
    }
    return isLater ? 'notNow' : { problem };
  }

  /** Resolves to the exit code; undefined if another task of the folder has begun meanwhile. */
  private async follow(run: Run, terminal: BuildTerminal): Promise<number | undefined> {
    const { task, target } = run;
    const title = plain(`${WORDS[task].title} of ${nameOf(target)}`);
    const location = run.isByItself ? vscode.ProgressLocation.Window : vscode.ProgressLocation.Notification;
    return vscode.window.withProgress({ location, title, cancellable: true }, async (progress, token) => {
      let done = 0; // per cent
      const listening = vscode.Disposable.from(
        token.onCancellationRequested(() => {
          terminal.stop();
        }),
        terminal.onProgress((now) => {
          if (now.kind === 'stage' && now.state === 'running') {
            const increment = 100 * (now.total_share ?? 0) - done;
            progress.report({ message: plain(describeProgress(now)), ...(increment > 0 ? { increment } : {}) });
            done += Math.max(0, increment);
            if (!run.isStill && now.stage !== this.status.snapshot.building) {
              this.status.update({ building: now.stage });
            }
          }
        }),
      );
      try {
        if (run.isByItself) {
          terminal.open(undefined); // not as a task: VS Code saves all files before it runs one
        } else if (isTaskRunning(target.folder)) {
          terminal.stop(); // VS Code would never open it
          return undefined;
        } else {
          await vscode.tasks.executeTask(this.makeTask(run, terminal));
        }
        return await terminal.exitCode;
      } finally {
        listening.dispose();
      }
    });
  }

  /** VS Code asks for its terminal again if it is rerun from there; one that has ended would run nothing. */
  private makeTask({ task, target }: Run, terminal: BuildTerminal): vscode.Task {
    const definition = taskDefinition(task);
    let first: BuildTerminal | undefined = terminal;
    return createTask(target.folder, definition, async () => {
      const given = first;
      first = undefined;
      return given ?? openTaskTerminal(target, definition, this.log);
    });
  }

  /** What a build alone can mend, such as another version's model, gets a build. */
  private async tellFailure(task: TaskName, target: Target, problem: string): Promise<void> {
    const isForBuild = task === 'update' && /run `submodel build[ `]/.test(problem);
    const again = isForBuild ? 'Build' : 'Try Again';
    const logs = 'Show Logs'; // which end with what was printed
    const answer = await vscode.window.showErrorMessage(plain(`${nameOf(target)}: ${problem}`), again, logs);
    if (answer === again) {
      await this.runOf(isForBuild ? 'build' : task, target);
    } else if (answer === logs) {
      await vscode.commands.executeCommand('submodel.showLogs');
    }
  }
}

async function describeBuilt(repository: string): Promise<string> {
  const bundle = await readBundle(path.join(repository, OWN_BUNDLE));
  return `The sub-model is built${bundle ? ` (${describeBundle(bundle)})` : ''}.`;
}

function tellRunning(): void {
  void vscode.window.showInformationMessage('A sub-model is being built or updated already.');
}

const WORSE =
  'It is significantly worse than its base model on files that the build did not learn from, and is served all the same. ' +
  'Larger submodel.build.minutes, or a larger "--size" in submodel.build.extraArguments, may make a better one.';

function tellSuccess(text: string, isWorse: boolean, repository: string): void {
  const report = 'Open the Report';
  const shown = isWorse
    ? vscode.window.showWarningMessage(plain(`${text} ${WORSE}`), report)
    : vscode.window.showInformationMessage(plain(text), report);
  void shown.then((answer) => {
    if (answer === report) {
      void vscode.commands.executeCommand('submodel.openReport', repository);
    }
  });
}
