// Which repository a build or an update is of, and whose task it is.

import * as path from 'node:path';
import * as vscode from 'vscode';

import { findRepository, isAtOrBelow, isSameFolder, listBuildable, OWN_BUNDLE, readBundle } from '../bundle/bundles';
import type { TaskName } from './progress';

const WHICH_TO_BUILD = { placeHolder: 'The repository to build a sub-model of' };

export interface Target {
  readonly repository: string;
  readonly folder: vscode.WorkspaceFolder; // whose task it is: the repository, or a folder in it
}

/** For people. */
export function nameOf({ repository, folder }: Target): string {
  return isSameFolder(repository, folder.uri.fsPath) ? folder.name : path.basename(repository);
}

/**
 * `named`: the repository, if it has a bundle; for any other value the user picks one if there are several.
 * `below`: repositories with a bundle that lie deep in a folder of the workspace.
 */
export async function pickTarget(
  task: TaskName,
  named: unknown,
  below: readonly string[],
): Promise<Target | undefined> {
  const folders = foldersOnDisk();
  if (folders.length === 0) {
    void vscode.window.showInformationMessage('Open the folder of a repository first.');
    return undefined;
  }
  const found = typeof named === 'string' ? await findBuilt(named) : undefined;
  if (found || task === 'build') {
    return found ?? pickFolder(folders);
  }
  const built = await builtIn(folders);
  for (const repository of below) {
    const folder = await folderAround(repository, folders);
    if (folder && !findIn(built, repository)) {
      built.push({ repository, folder });
    }
  }
  return pickBuilt(built);
}

/** A repository of this workspace that has a bundle, also one that lies deep in a folder; undefined if it is none. */
export async function findBuilt(repository: string): Promise<Target | undefined> {
  const folders = foldersOnDisk();
  const built = findIn(await builtIn(folders), repository);
  const folder = built ? undefined : await folderAround(repository, folders);
  return built ?? (folder && { repository, folder });
}

function findIn(built: readonly Target[], repository: string): Target | undefined {
  return built.find((one) => isSameFolder(one.repository, repository));
}

async function folderAround(
  repository: string,
  folders: readonly vscode.WorkspaceFolder[],
): Promise<vscode.WorkspaceFolder | undefined> {
  const folder = folders.find(({ uri }) => isAtOrBelow(repository, uri.fsPath));
  return folder && (await readBundle(path.join(repository, OWN_BUNDLE))) ? folder : undefined;
}

function foldersOnDisk(): vscode.WorkspaceFolder[] {
  return (vscode.workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === 'file');
}

/** Each repository that has a bundle once. */
async function builtIn(folders: readonly vscode.WorkspaceFolder[]): Promise<Target[]> {
  const built: Target[] = [];
  for (const folder of folders) {
    const repository = await findRepository(folder.uri.fsPath);
    if (repository !== undefined && !findIn(built, repository)) {
      built.push({ repository, folder });
    }
  }
  return built;
}

async function pickFolder(folders: readonly vscode.WorkspaceFolder[]): Promise<Target | undefined> {
  const items = folders.map((one) => ({ label: one.name, description: one.uri.fsPath, folder: one }));
  const picked = items.length > 1 ? await vscode.window.showQuickPick(items, WHICH_TO_BUILD) : items[0];
  const folder = picked?.folder;
  if (!folder) {
    return undefined;
  }
  const [first, ...others] = listBuildable(folder.uri.fsPath, await findRepository(folder.uri.fsPath));
  const repository = first !== undefined && others.length > 0 ? await pickRepository(first, others) : first;
  return repository === undefined ? undefined : { repository, folder };
}

async function pickRepository(served: string, others: readonly string[]): Promise<string | undefined> {
  const items = [
    { label: served, description: 'whose sub-model is served here' },
    ...others.map((label) => ({ label, description: 'a sub-model of this folder alone' })),
  ];
  return (await vscode.window.showQuickPick(items, WHICH_TO_BUILD))?.label;
}

async function pickBuilt(built: readonly Target[]): Promise<Target | undefined> {
  if (built.length === 0) {
    void vscode.window.showInformationMessage('There is no sub-model of this workspace yet; build one first.');
  }
  const [first, ...others] = built;
  if (!first || others.length === 0) {
    return first;
  }
  const picked = await vscode.window.showQuickPick(
    built.map(({ repository }) => repository),
    { placeHolder: 'The repository whose sub-model to update' },
  );
  return built.find(({ repository }) => repository === picked);
}
