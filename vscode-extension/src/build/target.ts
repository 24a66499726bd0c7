// Which repository a build is of, and whose task it is.

import * as path from 'node:path';
import * as vscode from 'vscode';

import { bundleOf, isSameFolder } from '../bundle/facts';
import type { ServedBundle } from '../server/protocol';

const WHICH = { placeHolder: 'The repository to build a sub-model of' };

export interface Target {
  readonly repository: string;
  readonly folder: vscode.WorkspaceFolder; // whose task it is: the repository, or a folder in it
}

/** For people. */
export function nameOf({ repository, folder }: Target): string {
  return isSameFolder(repository, folder.uri.fsPath) ? folder.name : path.basename(repository);
}

/** The repository whose bundle is served in a folder, else the folder itself. */
export function targetIn(folder: vscode.WorkspaceFolder, served: readonly ServedBundle[]): Target {
  return { repository: bundleOf(folder.uri.fsPath, served)?.workspaceFolder ?? folder.uri.fsPath, folder };
}

/** The user picks a folder if there are several, and whether to build of it or of the repository around it. */
export async function pickTarget(served: readonly ServedBundle[]): Promise<Target | undefined> {
  const folders = (vscode.workspace.workspaceFolders ?? []).filter((folder) => folder.uri.scheme === 'file');
  if (folders.length === 0) {
    void vscode.window.showInformationMessage('Open the folder of a repository first.');
    return undefined;
  }
  const items = folders.map((one) => ({ label: one.name, description: one.uri.fsPath, folder: one }));
  const picked = items.length > 1 ? await vscode.window.showQuickPick(items, WHICH) : items[0];
  if (!picked) {
    return undefined;
  }
  const target = targetIn(picked.folder, served);
  const own = picked.folder.uri.fsPath;
  if (isSameFolder(target.repository, own)) {
    return target;
  }
  const choices = [
    { label: target.repository, description: 'whose sub-model is served here' },
    { label: own, description: 'a sub-model of this folder alone' },
  ];
  const repository = (await vscode.window.showQuickPick(choices, WHICH))?.label;
  return repository === undefined ? undefined : { ...target, repository };
}
