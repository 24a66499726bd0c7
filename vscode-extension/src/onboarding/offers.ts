// Messages that nobody asked for, each at most once: the offer to build, a missing program, a server that keeps dying.

import * as vscode from 'vscode';

import { holds } from '../bundle/choice';
import type { Executable } from '../executable/find';
import { plain } from '../plainText';

const OFFERED = 'offeredToBuild';
const NEVER = 'neverOfferToBuild';

/** The answer to a user who has asked for what an untrusted workspace may not do. */
export async function tellUntrusted(text: string): Promise<void> {
  const manage = 'Manage Workspace Trust';
  if ((await vscode.window.showInformationMessage(plain(text), manage)) === manage) {
    await vscode.commands.executeCommand('workbench.trust.manage');
  }
}

export class Offers {
  private hasToldOfExecutable = false;

  constructor(
    private readonly workspaceMemory: vscode.Memento,
    private readonly userMemory: vscode.Memento,
  ) {}

  /** Offer a build in a git repository, and what it needs: once a workspace, and never again if the user says so. */
  async offerToBuild(isInstalled: boolean): Promise<void> {
    const mayAsk = (await holds('.git')) && vscode.workspace.isTrusted && !this.userMemory.get<boolean>(NEVER, false);
    if (!mayAsk || this.workspaceMemory.get<boolean>(OFFERED, false)) {
      return;
    }
    await this.workspaceMemory.update(OFFERED, true);
    const [build, more, install, never] = ['Build', 'How It Works', 'How to Install', 'Never Ask'];
    // Where the Python extension was not asked, the program may be there all the same. A build looks there, too.
    const needs = isInstalled ? '.' : ', and needs the program submodel.';
    const answer = await vscode.window.showInformationMessage(
      plain(`There is no sub-model of this workspace yet. Building one takes minutes, all on this machine${needs}`),
      ...[build, isInstalled ? more : install, never],
    );
    if (answer === build) {
      await vscode.commands.executeCommand('submodel.build');
    } else if (answer === more || answer === install) {
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
  async tellOfExecutable({ version, command }: Pick<Executable, 'command' | 'version'>): Promise<void> {
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
