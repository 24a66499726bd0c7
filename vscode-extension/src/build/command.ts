// Build a sub-model of a workspace folder: a task with a progress that can be cancelled, and then its bundle is served.

import * as path from 'node:path';
import * as vscode from 'vscode';

import { OWN_BUNDLE, readBundle } from '../bundle/bundles';
import type { Bundles } from '../bundle/choice';
import { describeBundle } from '../bundle/manifest';
import { type Logger, messageOf } from '../logger';
import { plain } from '../plainText';
import type { ServerController } from '../server/controller';
import type { StatusModel } from '../status/model';
import { describeProgress, readFailure } from './progress';
import { buildDefinition, createTask, openBuildTerminal } from './task';
import type { BuildTerminal } from './terminal';

export class BuildCommand implements vscode.Disposable {
  private isRunning = false;
  private terminal: BuildTerminal | undefined;

  constructor(
    private readonly bundles: Bundles,
    private readonly controller: ServerController,
    private readonly status: StatusModel,
    private readonly onNoExecutable: (problem: string) => void,
    private readonly log: Logger,
  ) {}

  async run(): Promise<void> {
    if (this.isRunning) {
      void vscode.window.showInformationMessage('A sub-model is being built already.');
      return;
    }
    if (!vscode.workspace.isTrusted) {
      void vscode.window.showInformationMessage('Building runs programs of this workspace; trust it first.');
      return;
    }
    const folder = await pickFolder();
    if (!folder) {
      return;
    }
    this.isRunning = true;
    try {
      await this.build(folder);
    } finally {
      this.isRunning = false;
      this.status.update({ building: undefined });
    }
  }

  /** Stop the build as the window closes: it would keep the machine busy unseen. Its finished stages stay. */
  dispose(): void {
    this.terminal?.stop();
  }

  private async build(folder: vscode.WorkspaceFolder): Promise<void> {
    this.status.update({ building: 'building' });
    let terminal: BuildTerminal;
    try {
      terminal = await openBuildTerminal(folder, buildDefinition(), this.log);
    } catch (error) {
      this.onNoExecutable(messageOf(error));
      return;
    }
    const repository = folder.uri.fsPath;
    this.terminal = terminal;
    const code = await this.follow(folder, terminal);
    this.terminal = undefined;
    this.log.info(`submodel build in ${repository} ended with ${code}`);
    if (code === 0) {
      await this.bundles.forgetPick();
      this.status.update({ building: undefined });
      await this.controller.restartForNewBundle('a sub-model was built');
      await this.tellSuccess(repository);
    } else if (terminal.wasStopped) {
      void vscode.window.showInformationMessage('The build was stopped; building again resumes it.');
    } else {
      void this.tellFailure(folder, readFailure(terminal.tail) ?? `submodel build ended with exit code ${code}.`);
    }
  }

  private async follow(folder: vscode.WorkspaceFolder, terminal: BuildTerminal): Promise<number> {
    const task = createTask(folder, buildDefinition(), () => Promise.resolve(terminal));
    const title = plain(`Building a sub-model of ${folder.name}`);
    const location = vscode.ProgressLocation.Notification;
    return vscode.window.withProgress({ location, title, cancellable: true }, async (progress, token) => {
      const listening = vscode.Disposable.from(
        token.onCancellationRequested(() => {
          terminal.stop();
        }),
        terminal.onProgress((now) => {
          if (now.kind === 'stage' && now.state === 'running') {
            progress.report({ message: plain(describeProgress(now)) });
            if (now.stage !== this.status.snapshot.building) {
              this.status.update({ building: now.stage });
            }
          }
        }),
      );
      try {
        await vscode.tasks.executeTask(task);
        return await terminal.exitCode;
      } finally {
        listening.dispose();
      }
    });
  }

  private async tellSuccess(repository: string): Promise<void> {
    const bundle = await readBundle(path.join(repository, OWN_BUNDLE));
    const report = 'Open the Report';
    const what = bundle ? ` (${describeBundle(bundle)})` : '';
    void vscode.window.showInformationMessage(plain(`The sub-model is built${what}.`), report).then((answer) => {
      if (answer === report) {
        void vscode.commands.executeCommand('submodel.openReport');
      }
    });
  }

  private async tellFailure(folder: vscode.WorkspaceFolder, problem: string): Promise<void> {
    const again = 'Try Again';
    const answer = await vscode.window.showErrorMessage(plain(`${folder.name}: ${problem}`), again);
    if (answer === again) {
      await this.run();
    }
  }
}

async function pickFolder(): Promise<vscode.WorkspaceFolder | undefined> {
  const folders = (vscode.workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === 'file');
  if (folders.length === 0) {
    void vscode.window.showInformationMessage('Open the folder of a repository first.');
  }
  return folders.length > 1
    ? vscode.window.showWorkspaceFolderPick({ placeHolder: 'The repository to build a sub-model of' })
    : folders[0];
}
