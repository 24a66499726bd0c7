// Notices bundles that appear or change on disk, as when a build runs in a terminal.

import * as vscode from 'vscode';

import { type Bundles, workspaceFolders } from './choice';

const SETTLING_MS = 1_000; // a folder that is replaced tells of many files

/** Watches the workspace's folders, and those above them that have a bundle for them. */
export function watchBundles(bundles: Bundles, listener: () => void): vscode.Disposable {
  const watchers = new Map<string, vscode.Disposable>();
  let timer: NodeJS.Timeout | undefined;
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(listener, SETTLING_MS);
  };
  const watch = (folders: readonly string[]): void => {
    for (const [folder, watcher] of watchers) {
      if (!folders.includes(folder)) {
        watcher.dispose();
        watchers.delete(folder);
      }
    }
    for (const folder of folders.filter((one) => !watchers.has(one))) {
      const pattern = new vscode.RelativePattern(vscode.Uri.file(folder), '.submodel/{bundle,bundle/bundle.json}');
      const watcher = vscode.workspace.createFileSystemWatcher(pattern);
      watchers.set(folder, vscode.Disposable.from(watcher, watcher.onDidCreate(later), watcher.onDidChange(later)));
    }
  };
  let isOver = false;
  const watchAll = async (): Promise<void> => {
    watch(workspaceFolders()); // at once, for a bundle that comes while one above is looked for
    const above = await bundles.repositories();
    watch(isOver ? [] : [...new Set([...workspaceFolders(), ...above])]);
  };
  void watchAll();
  return vscode.Disposable.from(
    vscode.workspace.onDidChangeWorkspaceFolders(() => void watchAll()),
    new vscode.Disposable(() => {
      isOver = true;
      clearTimeout(timer);
      watch([]);
    }),
  );
}
