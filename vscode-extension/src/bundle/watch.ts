// Notices bundles that appear or change on disk, as when a build runs in a terminal.

import * as vscode from 'vscode';

const SETTLING_MS = 1_000; // a folder that is replaced tells of many files

export function watchBundles(listener: () => void): vscode.Disposable {
  let watchers: vscode.Disposable[] = [];
  let timer: NodeJS.Timeout | undefined;
  const later = (): void => {
    clearTimeout(timer);
    timer = setTimeout(listener, SETTLING_MS);
  };
  const watch = (): void => {
    vscode.Disposable.from(...watchers).dispose();
    watchers = (vscode.workspace.workspaceFolders ?? []).flatMap((folder) => {
      const pattern = new vscode.RelativePattern(folder, '.submodel/{bundle,bundle/bundle.json}');
      const watcher = vscode.workspace.createFileSystemWatcher(pattern);
      return [watcher, watcher.onDidCreate(later), watcher.onDidChange(later)];
    });
  };
  watch();
  return vscode.Disposable.from(
    vscode.workspace.onDidChangeWorkspaceFolders(watch),
    new vscode.Disposable(() => {
      clearTimeout(timer);
      vscode.Disposable.from(...watchers).dispose();
    }),
  );
}
