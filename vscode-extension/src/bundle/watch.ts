// Notices bundles that appear or change on disk, as when a build runs in a terminal.

import * as path from 'node:path';
import * as vscode from 'vscode';

import { SECTION } from '../settings';
import { type Bundles, workspaceFolders } from './choice';

const SETTLING_MS = 1_000; // replacing a folder fires events for many files

const FILES = '{bundle,bundle/bundle.json}';
const FILES_OF_FOLDER = '{.submodel,.submodel/bundle,.submodel/bundle/bundle.json}'; // one event tells of all that go at once

/** Watches the workspace's folders, and those above and below them that have a bundle for them, or may get one. */
export function watchBundles(bundles: Bundles, listener: () => void): vscode.Disposable {
  const watchers = new Map<string, vscode.Disposable>();
  let timer: NodeJS.Timeout | undefined;
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(listener, SETTLING_MS);
  };
  const watch = (folders: readonly string[], others: readonly string[]): void => {
    const patterns = [
      ...folders.map((folder) => new vscode.RelativePattern(vscode.Uri.file(folder), FILES_OF_FOLDER)),
      // VS Code watches all of a base, which the workspace's folders are anyway, and a folder above is not.
      ...others.map((folder) => new vscode.RelativePattern(vscode.Uri.file(path.join(folder, '.submodel')), FILES)),
    ];
    const wanted = new Map(patterns.map((pattern) => [pattern.baseUri.toString(), pattern]));
    for (const [base, watcher] of watchers) {
      if (!wanted.has(base)) {
        watcher.dispose();
        watchers.delete(base);
      }
    }
    for (const [base, pattern] of wanted) {
      if (watchers.has(base)) {
        continue;
      }
      const watcher = vscode.workspace.createFileSystemWatcher(pattern);
      watchers.set(
        base,
        vscode.Disposable.from(
          watcher,
          watcher.onDidCreate(later),
          watcher.onDidChange(later),
          watcher.onDidDelete(later),
        ),
      );
    }
  };
  let elsewhere: readonly string[] = [];
  let searches = 0;
  const watchAll = async (): Promise<void> => {
    watch(workspaceFolders(), elsewhere); // at once: a bundle may appear while the other folders are searched
    searches += 1;
    const search = searches;
    const found = await bundles.repositoriesElsewhere();
    if (search === searches) {
      elsewhere = found;
      watch(workspaceFolders(), elsewhere);
    } // else a newer one has begun, or all is over
  };
  void watchAll();
  return vscode.Disposable.from(
    vscode.workspace.onDidChangeWorkspaceFolders(() => void watchAll()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(`${SECTION}.enabled`)) {
        void watchAll(); // only bundles of folders with suggestions are searched
      }
    }),
    bundles.onDidFindBelow(() => void watchAll()),
    new vscode.Disposable(() => {
      searches += 1;
      clearTimeout(timer);
      watch([], []);
    }),
  );
}
