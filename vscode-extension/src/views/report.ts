// The report of the build, in a tab: one HTML file that fetches nothing and may run nothing.

import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import * as vscode from 'vscode';

import { findRepository, OWN_BUNDLE, readBounded } from '../bundle/bundles';
import { workspaceFolders } from '../bundle/choice';
import { plain } from '../plainText';
import type { StatusModel } from '../status/model';
import { withPolicy } from './policy';

const REPORT = path.join('.submodel', 'report.html');
const MAX_REPORT_BYTES = 64 * 1024 * 1024;

/** `named`: the repository; any other value takes that of the active editor, else the first that has a report. */
export async function openReport(status: StatusModel, named?: unknown): Promise<void> {
  const file = await findReport(typeof named === 'string' ? [named] : await listRepositories(status));
  if (!file) {
    void vscode.window.showInformationMessage('There is no report yet. A build that scores its model writes one.');
    return;
  }
  const html = await readBounded(file, MAX_REPORT_BYTES).catch(() => undefined);
  if (html === undefined) {
    void vscode.window.showWarningMessage(plain(`${file} is too large or no file; build again to renew it.`));
    return;
  }
  const panel = vscode.window.createWebviewPanel('submodel.report', 'submodel: report', vscode.ViewColumn.Active, {
    enableScripts: false,
    enableFindWidget: true,
    localResourceRoots: [],
  });
  panel.webview.html = withPolicy(html);
}

async function listRepositories(status: StatusModel): Promise<string[]> {
  const uri = vscode.window.activeTextEditor?.document.uri;
  const own = uri?.scheme === 'file' ? await findRepository(path.dirname(uri.fsPath)) : undefined;
  if (own !== undefined) {
    return [own]; // another's would be taken for its report
  }
  const served = status.snapshot.bundles.filter(({ folder }) => folder.endsWith(OWN_BUNDLE));
  return [...served.map(({ folder }) => path.resolve(folder, '..', '..')), ...workspaceFolders()];
}

async function findReport(folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    const file = path.join(folder, REPORT);
    if (await fs.stat(file).catch(() => undefined)) {
      return file;
    }
  }
  return undefined;
}
