// Build a sub-model of a workspace folder: a task with a progress that can be cancelled. Then its bundle is served.

import * as vscode from 'vscode';

import { chosenBundle } from '../bundle/choice';
import { type Logger, messageOf } from '../logger';
import { tellUntrusted } from '../onboarding/offers';
import { plain } from '../plainText';
import type { ServerController } from '../server/controller';
import type { StatusModel } from '../status/model';
import { isWorseThanBase } from '../views/report';
import { describeFailure, describeProgress } from './progress';
import { nameOf, pickTarget, type Target } from './target';
import { BUILD, createTask, isTaskRunning, openBuildTerminal, openTaskTerminal } from './task';
import type { BuildTerminal } from './terminal';

const STOPPED = 'The build was stopped; building again resumes it if no file has changed.';
const BUILT = 'The sub-model is built.';
const OTHER_IS_SERVED = ' The setting submodel.bundle names another bundle, which is still served.';
const WORSE =
  ' It is significantly worse than its base model on files that the build did not learn from, and is served all the same. ' +
  'Larger submodel.build.minutes, or "--size", "auto" in submodel.build.extraArguments, may make a better one.';

/** A build from its beginning to its end. */
interface Run {
  readonly target: Target;
  isToStop: boolean;
  terminal?: BuildTerminal; // once there is one
}

export class BuildCommand {
  private running: Run | undefined;

  constructor(
    private readonly controller: Pick<ServerController, 'restart'>,
    private readonly status: StatusModel,
    private readonly onNoExecutable: (problem: string) => void,
    private readonly log: Logger,
  ) {}

  /** Build of the repository that the user picks, if there are several. */
  async run(): Promise<void> {
    if (this.running) {
      tellRunning();
      return;
    }
    if (!vscode.workspace.isTrusted) {
      await tellUntrusted('A build runs programs of this workspace. Trust the workspace first.');
      return;
    }
    const target = await pickTarget(this.status.snapshot.served);
    if (target) {
      await this.runOf(target);
    }
  }

  /** Stop what runs. */
  stop(): void {
    if (this.running) {
      this.running.isToStop = true; // its terminal may not be there yet
      this.running.terminal?.stop();
    }
  }

  private async runOf(target: Target): Promise<void> {
    if (this.running || isTaskRunning(target.folder)) {
      tellRunning(); // it has begun while the user picked the repository
      return;
    }
    const run: Run = { target, isToStop: false };
    this.running = run;
    this.status.update({ building: 'building' });
    let problem: string | undefined;
    try {
      problem = await this.runTask(run);
    } finally {
      this.running = undefined;
      this.status.update({ building: undefined });
    }
    if (problem !== undefined) {
      await this.tellFailure(target, problem);
    }
  }

  /** Resolves to what went wrong. */
  private async runTask(run: Run): Promise<string | undefined> {
    const { target } = run;
    let terminal: BuildTerminal;
    try {
      terminal = await openBuildTerminal(target, BUILD, this.log);
    } catch (error) {
      this.onNoExecutable(messageOf(error));
      return undefined;
    }
    if (run.isToStop) {
      return undefined;
    }
    run.terminal = terminal;
    const code = await this.follow(run, terminal);
    if (code === undefined) {
      tellRunning();
      return undefined;
    }
    this.log.info(`submodel build in ${target.repository} ended with ${code}`);
    if (code === 0) {
      this.status.update({ building: undefined });
      await this.controller.restart('a sub-model was built');
      await tellSuccess(target.repository);
      return undefined;
    }
    if (terminal.wasStopped) {
      this.log.info(STOPPED);
      void vscode.window.showInformationMessage(STOPPED);
      return undefined;
    }
    const problem = describeFailure({ code, signal: terminal.signal, tail: terminal.tail });
    this.log.warn(`The build failed: ${problem}\n${terminal.tail.trimEnd()}`);
    return problem;
  }

  /** Resolves to the exit code; undefined if another task of the folder has begun meanwhile. */
  private async follow({ target }: Run, terminal: BuildTerminal): Promise<number | undefined> {
    const title = plain(`Building a sub-model of ${nameOf(target)}`);
    const location = vscode.ProgressLocation.Notification;
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
            if (now.stage !== this.status.snapshot.building) {
              this.status.update({ building: now.stage });
            }
          }
        }),
      );
      try {
        if (isTaskRunning(target.folder)) {
          terminal.stop(); // VS Code would never open it
          return undefined;
        }
        await vscode.tasks.executeTask(this.makeTask(target, terminal));
        return await terminal.exitCode;
      } finally {
        listening.dispose();
      }
    });
  }

  /** VS Code asks for its terminal again if it is rerun from there; one that has ended would run nothing. */
  private makeTask(target: Target, terminal: BuildTerminal): vscode.Task {
    let first: BuildTerminal | undefined = terminal;
    return createTask(target.folder, BUILD, async () => {
      const given = first;
      first = undefined;
      return given ?? openTaskTerminal(target, BUILD, this.log);
    });
  }

  private async tellFailure(target: Target, problem: string): Promise<void> {
    const [again, logs] = ['Try Again', 'Show Logs']; // which end with what was printed
    const answer = await vscode.window.showErrorMessage(plain(`${nameOf(target)}: ${problem}`), again, logs);
    if (answer === again) {
      await this.runOf(target);
    } else if (answer === logs) {
      await vscode.commands.executeCommand('submodel.showLogs');
    }
  }
}

function tellRunning(): void {
  void vscode.window.showInformationMessage('A sub-model is being built already.');
}

async function tellSuccess(repository: string): Promise<void> {
  const report = 'Open the Report';
  const isWorse = await isWorseThanBase(repository);
  const text = BUILT + (chosenBundle() === undefined ? '' : OTHER_IS_SERVED) + (isWorse ? WORSE : '');
  const show = isWorse ? vscode.window.showWarningMessage : vscode.window.showInformationMessage;
  void show(text, report).then((answer) => {
    if (answer === report) {
      void vscode.commands.executeCommand('submodel.openReport', repository);
    }
  });
}
