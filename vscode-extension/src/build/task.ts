// A build as a task, for the palette's command and for `Tasks: Run Task`.

import * as vscode from 'vscode';

import { findExecutable } from '../executable/find';
import type { Logger } from '../logger';
import { readSettings } from '../settings';
import { buildArguments } from './progress';
import { BuildTerminal } from './terminal';

const TYPE = 'submodel';

export function createTask(
  folder: vscode.WorkspaceFolder,
  definition: vscode.TaskDefinition,
  open: () => Promise<BuildTerminal>,
): vscode.Task {
  const task = new vscode.Task(definition, folder, 'build', 'submodel', new vscode.CustomExecution(open));
  task.detail = `Build a sub-model of ${folder.name}`;
  task.presentationOptions = {
    reveal: vscode.TaskRevealKind.Silent,
    panel: vscode.TaskPanelKind.Dedicated,
    showReuseMessage: false,
  };
  return task;
}

/** A terminal for the folder; raises if there is no `submodel` to run. */
export async function openBuildTerminal(
  folder: vscode.WorkspaceFolder,
  definition: vscode.TaskDefinition,
  log: Logger,
): Promise<BuildTerminal> {
  const settings = readSettings();
  const found = await findExecutable(settings, log);
  if ('problem' in found) {
    throw new Error(found.problem);
  }
  const own = definition['arguments'] as readonly string[] | undefined;
  const args = own ? ['build', folder.uri.fsPath, ...own] : buildArguments(settings.build, folder.uri.fsPath);
  return new BuildTerminal(found.executable.command, args, folder.uri.fsPath);
}

export function registerTaskProvider(log: Logger): vscode.Disposable {
  const make = (folder: vscode.WorkspaceFolder, definition: vscode.TaskDefinition): vscode.Task =>
    createTask(folder, definition, () => openBuildTerminal(folder, definition, log));
  return vscode.tasks.registerTaskProvider(TYPE, {
    provideTasks: () =>
      (vscode.workspace.workspaceFolders ?? [])
        .filter((folder) => folder.uri.scheme === 'file')
        .map((folder) => make(folder, buildDefinition())),
    resolveTask: (task) =>
      typeof task.scope === 'object' && task.definition['task'] === 'build'
        ? make(task.scope, task.definition)
        : undefined,
  });
}

export function buildDefinition(): vscode.TaskDefinition {
  return { type: TYPE, task: 'build' };
}
