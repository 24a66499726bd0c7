// A build as a task, for the palette's command and for `Tasks: Run Task`.

import * as vscode from 'vscode';

import { findExecutable } from '../executable/find';
import { type Logger, messageOf } from '../logger';
import { printable } from '../plainText';
import { asTexts, readBuildSettings, readSettings } from '../settings';
import type { StatusModel } from '../status/model';
import { buildArguments } from './progress';
import { type Target, targetIn } from './target';
import { BuildTerminal, stopAll } from './terminal';

const TYPE = 'submodel';
export const BUILD: vscode.TaskDefinition = { type: TYPE, task: 'build' };

export function createTask(
  folder: vscode.WorkspaceFolder,
  definition: vscode.TaskDefinition,
  open: () => Promise<vscode.Pseudoterminal>,
): vscode.Task {
  const execution = new vscode.CustomExecution(open);
  const task = new vscode.Task(definition, folder, 'build', TYPE, execution, []); // else VS Code asks for a problem matcher
  task.detail = `Build a sub-model of ${folder.name}`;
  task.presentationOptions = {
    reveal: vscode.TaskRevealKind.Silent,
    panel: vscode.TaskPanelKind.Dedicated,
    showReuseMessage: false,
  };
  return task;
}

/** A terminal for the repository; raises if there is no `submodel` to run. */
export async function openBuildTerminal(
  { repository, folder }: Target,
  definition: vscode.TaskDefinition,
  log: Logger,
): Promise<BuildTerminal> {
  const found = await findExecutable(readSettings(), log);
  if ('problem' in found) {
    throw new Error(found.problem);
  }
  const own = asTexts(definition['arguments']);
  const args = buildArguments(repository, readBuildSettings(folder), own);
  return new BuildTerminal(found.executable.command, args, repository);
}

/** As `openBuildTerminal`, but without the program a terminal that says so: a task that gets none would never end. */
export async function openTaskTerminal(
  target: Target,
  definition: vscode.TaskDefinition,
  log: Logger,
): Promise<vscode.Pseudoterminal> {
  try {
    return await openBuildTerminal(target, definition, log);
  } catch (error) {
    return refuse(messageOf(error));
  }
}

/** The tasks, which end with the window. */
export function registerTaskProvider(status: StatusModel, log: Logger): vscode.Disposable {
  const make = (folder: vscode.WorkspaceFolder, definition: vscode.TaskDefinition): vscode.Task =>
    createTask(folder, definition, () => openTaskTerminal(targetIn(folder, status.snapshot.served), definition, log));
  const provider = vscode.tasks.registerTaskProvider(TYPE, {
    provideTasks: () =>
      (vscode.workspace.workspaceFolders ?? [])
        .filter((folder) => folder.uri.scheme === 'file')
        .map((folder) => make(folder, BUILD)),
    resolveTask: (task) =>
      typeof task.scope === 'object' && task.definition['task'] === BUILD['task']
        ? make(task.scope, task.definition)
        : undefined,
  });
  return vscode.Disposable.from(provider, new vscode.Disposable(stopAll));
}

/** A terminal that says why nothing runs. */
function refuse(problem: string): vscode.Pseudoterminal {
  const written = new vscode.EventEmitter<string>();
  const closed = new vscode.EventEmitter<number>();
  return {
    onDidWrite: written.event,
    onDidClose: closed.event,
    open: () => {
      written.fire(`submodel: ${printable(problem)}\r\n`);
      closed.fire(127);
    },
    close: () => undefined,
  };
}

/** Whether a build of the folder runs, whoever has started it: VS Code opens no second terminal then. */
export function isTaskRunning(folder: vscode.WorkspaceFolder): boolean {
  return vscode.tasks.taskExecutions.some(
    ({ task: { definition, scope } }) =>
      definition.type === TYPE && typeof scope === 'object' && scope.uri.toString() === folder.uri.toString(),
  );
}
