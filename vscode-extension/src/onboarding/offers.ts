// Messages that nobody asked for, each at most once: the offer to build, a missing program, a server that keeps dying.

import * as vscode from 'vscode';

import type { Executable } from '../executable/find';
import { plain } from '../plainText';

const OFFERED = 'offeredToBuild';
const NEVER = 'neverOfferToBuild';

export class Offers {
  private hasToldOfExecutable = false;

  constructor(
    private readonly workspaceMemory: vscode.Memento,
    private readonly userMemory: vscode.Memento,
  ) {}

  /** Offer a build: once a workspace, and never again if the user says so. */
  async offerToBuild(): Promise<void> {
    const hasFolder = (vscode.workspace.workspaceFolders ?? []).some((folder) => folder.uri.scheme === 'file');
    const mayAsk = hasFolder && vscode.workspace.isTrusted && !this.userMemory.get<boolean>(NEVER, false);
    if (!mayAsk || this.workspaceMemory.get<boolean>(OFFERED, false)) {
      return;
    }
    await this.workspaceMemory.update(OFFERED, true);
    const [build, more, never] = ['Build', 'How It Works', 'Never Ask'];
    const answer = await vscode.window.showInformationMessage(
      'There is no sub-model of this workspace yet. Building one takes minutes, all on this machine.',
      build,
      more,
      never,
    );
    if (answer === build) {
      await vscode.commands.executeCommand('submodel.build');
    } else if (answer === more) {
      await vscode.commands.executeCommand('submodel.openWalkthrough');
    } else if (answer === never) {
      await this.userMemory.update(NEVER, true);
    }
  }

  /** Report a missing program: once a window, or whenever the user has `asked` for what needs it. */
  async tellOfMissingExecutable(problem: string, asked: boolean): Promise<void> {
    if (this.hasToldOfExecutable && !asked) {
      return;
    }
    this.hasToldOfExecutable = true;
    const [install, set] = ['How to Install', 'Set the Path'];
    const answer = await vscode.window.showWarningMessage(plain(problem), install, set);
    if (answer === install) {
      await vscode.commands.executeCommand('submodel.openWalkthrough');
    } else if (answer === set) {
      await vscode.commands.executeCommand('workbench.action.openSettings', 'submodel.path');
    }
  }

  /** The answer to a user who has looked for the program, if there is nothing to serve yet. */
  async tellOfExecutable({ version, command }: Executable): Promise<void> {
    const build = 'Build';
    const text = `submodel ${version} is installed: ${command}. There is no sub-model of this workspace yet.`;
    if ((await vscode.window.showInformationMessage(plain(text), build)) === build) {
      await vscode.commands.executeCommand('submodel.build');
    }
  }

  async tellOfCrashes(): Promise<void> {
    const [restart, logs] = ['Restart', 'Show Logs'];
    const answer = await vscode.window.showErrorMessage(
      'The submodel server has stopped several times in a row, and is not started again.',
      restart,
      logs,
    );
    if (answer !== undefined) {
      await vscode.commands.executeCommand(answer === restart ? 'submodel.restart' : 'submodel.showLogs');
    }
  }
}
