// The bundle that the user has chosen for all files: the setting submodel.bundle. The server finds all others.

import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';

import { expand } from '../executable/candidates';
import { plain } from '../plainText';
import type { ServedBundle } from '../server/protocol';
import { readSettings, SECTION } from '../settings';
import { isSameFolder } from './facts';

/** The folder of the chosen bundle; undefined if each file gets its repository's own. */
export function chosenBundle(): string | undefined {
  const { bundle } = readSettings();
  const folders = vscode.workspace.isTrusted ? workspaceFolders() : []; // an untrusted one holds a stranger's
  const home = os.homedir();
  return bundle ? path.resolve(folders[0] ?? home, expand(bundle, { home, workspaceFolders: folders })) : undefined;
}

/** Let the user choose the repositories' own bundles, an older one or another folder. `served`: as the server tells. */
export async function chooseBundle(served: readonly ServedBundle[]): Promise<void> {
  const item = await vscode.window.showQuickPick(listItems(served), {
    placeHolder: 'The bundle to serve in this workspace',
    matchOnDetail: true,
  });
  const folder = item?.folder === 'browse' ? await browse() : item && { path: item.folder };
  if (!folder) {
    return;
  }
  const section = vscode.workspace.getConfiguration(SECTION);
  const isOpen = (vscode.workspace.workspaceFolders ?? []).length > 0;
  const own = isOpen && section.inspect('bundle')?.globalValue ? '' : undefined; // the user's own holds in all windows
  const target = isOpen ? vscode.ConfigurationTarget.Workspace : vscode.ConfigurationTarget.Global;
  await section.update('bundle', folder.path ?? own, target);
}

type Item = vscode.QuickPickItem & { readonly folder: string | undefined };

async function listItems(served: readonly ServedBundle[]): Promise<Item[]> {
  const chosen = chosenBundle();
  const mark = (folder: string): string => (chosen !== undefined && isSameFolder(folder, chosen) ? '$(check) ' : '');
  const older = await Promise.all(
    [...new Set(served.flatMap(({ previous }) => previous ?? []))].map(async (folder) => {
      const facts = await fs.stat(path.join(folder, 'bundle.json')).catch(() => undefined);
      const label = `${mark(folder)}$(history) Built ${facts?.mtime.toLocaleString() ?? 'earlier'}`;
      return { label, detail: folder, folder };
    }),
  );
  const isOther = chosen !== undefined && !older.some(({ folder }) => isSameFolder(folder, chosen));
  return [
    { label: `${chosen === undefined ? '$(check) ' : ''}The workspace's own`, folder: undefined },
    ...older,
    ...(isOther ? [{ label: `$(check) $(folder) ${path.basename(chosen)}`, detail: chosen, folder: chosen }] : []),
    { label: '$(folder-opened) Another Folder…', folder: 'browse' },
  ];
}

async function browse(): Promise<{ readonly path: string } | undefined> {
  const [uri] =
    (await vscode.window.showOpenDialog({ canSelectFiles: false, canSelectFolders: true, openLabel: 'Serve' })) ?? [];
  if (uri && !(await fs.stat(path.join(uri.fsPath, 'bundle.json')).catch(() => undefined))) {
    void vscode.window.showWarningMessage(plain(`${uri.fsPath} is no bundle: it has no bundle.json.`));
    return undefined;
  }
  return uri && { path: uri.fsPath };
}

/** Their paths; those that are not on disk have none. */
export function workspaceFolders(): string[] {
  return (vscode.workspace.workspaceFolders ?? [])
    .filter((folder) => folder.uri.scheme === 'file')
    .map((folder) => folder.uri.fsPath);
}

/** Whether a folder of the workspace itself holds this name, such as `.git` or `.submodel`. */
export async function holds(name: string): Promise<boolean> {
  const looks = workspaceFolders().map((folder) => fs.stat(path.join(folder, name)).catch(() => undefined));
  return (await Promise.all(looks)).some((facts) => facts !== undefined);
}
