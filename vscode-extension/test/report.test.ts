import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { isWorseThanBase, openReport } from '../src/views/report';

const around = vi.hoisted(() => ({ folders: [] as object[], file: undefined as string | undefined, shown: '' }));
vi.mock('vscode', () => ({
  ViewColumn: { Active: -1 },
  window: {
    get activeTextEditor() {
      return around.file === undefined ? undefined : { document: { uri: { scheme: 'file', fsPath: around.file } } };
    },
    createWebviewPanel: () => ({
      webview: {
        set html(text: string) {
          around.shown = text;
        },
      },
    }),
    showInformationMessage: (text: string) => {
      around.shown = text;
    },
  },
  workspace: {
    getWorkspaceFolder: ({ fsPath }: { fsPath: string }) =>
      (around.folders as { uri: { fsPath: string } }[]).find(({ uri }) => fsPath.startsWith(uri.fsPath)),
    get workspaceFolders() {
      return around.folders;
    },
  },
}));

let root: string;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'submodel-'));
  Object.assign(around, { folders: [], file: undefined, shown: '' });
});
afterEach(() => {
  fs.rmSync(root, { recursive: true });
});

/** A repository with a bundle, and its report unless it has none. */
function build(name: string, report = `of ${name}`): string {
  const repository = path.join(root, name);
  fs.mkdirSync(path.join(repository, '.submodel'), { recursive: true });
  if (report) {
    fs.writeFileSync(path.join(repository, '.submodel', 'report.html'), report);
  }
  around.folders.push({ uri: { scheme: 'file', fsPath: repository } });
  return repository;
}

test("the report is that of the named repository, else of the active editor's, else of the one that is served", async () => {
  const [served, second, unscored] = [build('served'), build('second'), build('unscored', '')];
  const status = { snapshot: { served: [{ workspaceFolder: served }] } } as never;
  await openReport(status);
  expect(around.shown).toMatch(/of served$/);
  around.file = path.join(second, 'src', 'a.py');
  await openReport(status);
  expect(around.shown).toMatch(/of second$/);
  await openReport(status, served);
  expect(around.shown).toMatch(/of served$/);
  await openReport(status, unscored);
  expect(around.shown).toMatch(/^There is no report yet/);
});

test("a file's repository without a report gets no other one's, and a file of none that of a bundle that is served", async () => {
  const [unscored, scored] = [build('unscored', ''), build('scored')];
  around.folders = [];
  const served = [unscored, scored].map((workspaceFolder) => ({ workspaceFolder }));
  const status = { snapshot: { served } } as never;
  around.file = path.join(unscored, 'a.py');
  await openReport(status);
  expect(around.shown).toMatch(/^There is no report yet/);
  around.file = path.join(root, 'library', 'a.py');
  await openReport(status);
  expect(around.shown).toMatch(/of scored$/);
});

test('a folder that is not on disk has no report, whatever lies at its path here', async () => {
  const fsPath = build('a');
  around.folders = [{ uri: { scheme: 'vscode-vfs', fsPath } }];
  await openReport({ snapshot: { served: [] } } as never);
  expect(around.shown).toMatch(/^There is no report yet/);
});

test.each([
  ['{"is_worse": true}', true],
  ['{"is_worse": false}', false],
  ['{', false],
])('whether a build is worse than its base is read: %s', async (text, isWorse) => {
  const repository = build('a');
  fs.writeFileSync(path.join(repository, '.submodel', 'report.json'), text);
  expect(await isWorseThanBase(repository)).toBe(isWorse);
});
