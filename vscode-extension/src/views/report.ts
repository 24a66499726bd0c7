// The report of the build, in a tab: one HTML file that fetches nothing and may run nothing.

import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import * as vscode from 'vscode';

import { workspaceFolders } from '../bundle/choice';
import { bundleOf } from '../bundle/facts';
import type { BuildReport } from '../documents';
import { plain } from '../plainText';
import type { StatusModel } from '../status/model';
import { withPolicy } from './policy';

const REPORT = path.join('.submodel', 'report.html');
const FIGURES = path.join('.submodel', 'report.json');
const MAX_REPORT_BYTES = 64 * 1024 * 1024; // it holds every answer

/** `named`: the repository; any other value takes that of the active editor, else the first that has a report. */
export async function openReport(status: StatusModel, named?: unknown): Promise<void> {
  const file = await findReport(typeof named === 'string' ? [named] : listRepositories(status));
  if (!file) {
    void vscode.window.showInformationMessage('There is no report yet. A build that scores its model writes one.');
    return;
  }
  const html = await readReport(file).catch(() => undefined);
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

/** Whether the report of the last build says that the sub-model is worse than its base; false if nothing was scored. */
export async function isWorseThanBase(repository: string): Promise<boolean> {
  try {
    return (JSON.parse(await readReport(path.join(repository, FIGURES))) as Partial<BuildReport>).is_worse === true;
  } catch {
    return false;
  }
}

async function readReport(file: string): Promise<string> {
  const facts = await fs.stat(file);
  if (!facts.isFile() || facts.size > MAX_REPORT_BYTES) {
    throw new Error(`${file} is no file of at most ${MAX_REPORT_BYTES} bytes.`); // a pipe would wait
  }
  return fs.readFile(file, 'utf8');
}

function listRepositories({ snapshot: { served } }: StatusModel): string[] {
  const uri = vscode.window.activeTextEditor?.document.uri;
  const folder = uri && vscode.workspace.getWorkspaceFolder(uri)?.uri.fsPath;
  const own = uri?.scheme === 'file' ? (bundleOf(uri.fsPath, served)?.workspaceFolder ?? folder) : undefined;
  if (own) {
    return [own]; // another's would be taken for its report
  }
  return [...served.flatMap(({ workspaceFolder }) => workspaceFolder ?? []), ...workspaceFolders()];
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
