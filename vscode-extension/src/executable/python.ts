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
let wasLate = false;
let following: vscode.Disposable | undefined; // of the Python extension's own event

/** Whether the Python extension is installed, but not active. */
export function mayBeActivated(): boolean {
  return vscode.extensions.getExtension(PYTHON_EXTENSION)?.isActive === false;
}

async function pythonApi(mayActivate: boolean): Promise<PythonApi | undefined> {
  const extension = vscode.extensions.getExtension<PythonApi>(PYTHON_EXTENSION);
  if (!extension || !(extension.isActive || mayActivate)) {
    return undefined;
  }
  const api = extension.isActive ? extension.exports : await extension.activate();
  following ??= api.environments.onDidChangeActiveEnvironmentPath((event) => {
    selected.fire(event);
  });
  return api;
}

/** None if the Python extension is not installed, fails, or is not active and may not be activated. */
export async function askInterpreters(
  folders: readonly vscode.WorkspaceFolder[],
  mayActivate: boolean,
  log: Logger,
): Promise<string[]> {
  const attempt = <T>(asking: Promise<T>): Promise<T | undefined> =>
    asking.catch((error: unknown) => {
      log.warn(`The Python extension can't be asked for its environment: ${messageOf(error)}`);
      return undefined;
    });
  const api = await attempt(pythonApi(mayActivate));
  const found = api ? await Promise.all(folders.map((folder) => attempt(interpreterOf(api, folder)))) : [];
  return found.filter((path) => path !== undefined);
}

async function interpreterOf({ environments }: PythonApi, folder: vscode.WorkspaceFolder): Promise<string | undefined> {
  const environment = await environments.resolveEnvironment(environments.getActiveEnvironmentPath(folder.uri));
  return environment?.executable.uri?.fsPath;
}

/** Once a window: an extension that is always late would be asked again and again. */
export function tellOfLate(paths: readonly string[]): void {
  if (!wasLate && paths.length > 0) {
    wasLate = true;
    selected.fire(undefined);
  }
}

/** Calls `listener` when the user selects another interpreter, or when one is named that came too late. */
export function onDidSelectInterpreter(listener: () => void): vscode.Disposable {
  const forget = new vscode.Disposable(() => {
    following?.dispose();
    following = undefined;
  });
  return vscode.Disposable.from(selected.event(listener), forget);
}
