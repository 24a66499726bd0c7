// The interpreter that the Python extension has selected, if that extension is installed.

import * as vscode from 'vscode';

import type { Logger } from '../logger';
import { messageOf } from '../logger';

const PYTHON_EXTENSION = 'ms-python.python';

interface PythonApi {
  readonly environments: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { readonly path: string };
    resolveEnvironment(
      environment: unknown,
    ): Promise<{ readonly executable: { readonly uri?: vscode.Uri } } | undefined>;
    readonly onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
  };
}

const selected = new vscode.EventEmitter<unknown>();
let following: vscode.Disposable | undefined; // of the Python extension's own event

async function pythonApi(): Promise<PythonApi | undefined> {
  const extension = vscode.extensions.getExtension<PythonApi>(PYTHON_EXTENSION);
  if (!extension) {
    return undefined;
  }
  const api = extension.isActive ? extension.exports : await extension.activate();
  following ??= api.environments.onDidChangeActiveEnvironmentPath((event) => {
    selected.fire(event);
  });
  return api;
}

export async function selectedInterpreters(folders: readonly vscode.WorkspaceFolder[], log: Logger): Promise<string[]> {
  try {
    const api = await pythonApi();
    if (!api) {
      return [];
    }
    const paths: string[] = [];
    for (const folder of folders) {
      const environment = await api.environments.resolveEnvironment(
        api.environments.getActiveEnvironmentPath(folder.uri),
      );
      if (environment?.executable.uri) {
        paths.push(environment.executable.uri.fsPath);
      }
    }
    return paths;
  } catch (error) {
    log.warn(`The Python extension can't be asked for its environment: ${messageOf(error)}`);
    return [];
  }
}

/** Calls `listener` when the user selects another interpreter than the one that `selectedInterpreters` has found. */
export function onDidSelectInterpreter(listener: () => void): vscode.Disposable {
  const forget = new vscode.Disposable(() => {
    following?.dispose();
    following = undefined;
  });
  return vscode.Disposable.from(selected.event(listener), forget);
}
