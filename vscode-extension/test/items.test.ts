import { expect, test, vi } from 'vitest';

import { toSnapshot } from '../src/server/serverStatus';
import { createStatusItems } from '../src/status/items';
import { StatusModel } from '../src/status/model';

interface Around {
  bar: { text: string; tooltip?: { text: string }; show: () => void };
  language: { text: string; detail: string };
  document: object | undefined;
  moved: () => void;
  opened: () => void;
}

const around = vi.hoisted((): Around => ({
  bar: { text: '', show: () => undefined },
  language: { text: '', detail: '' },
  document: undefined,
  moved: () => undefined,
  opened: () => undefined,
}));
vi.mock('vscode', async () => ({
  Disposable: { from: () => ({}) },
  EventEmitter: (await import('./doubles.js')).Emitter,
  LanguageStatusSeverity: {},
  MarkdownString: class {
    text = '';
    readonly appendMarkdown = (): this => this;
    readonly appendText = (text: string): this => {
      this.text += `${text}\n`;
      return this;
    };
  },
  StatusBarAlignment: {},
  ThemeColor: class {
    readonly id = '';
  },
  languages: { createLanguageStatusItem: () => around.language },
  window: {
    get activeTextEditor() {
      return around.document && { document: around.document };
    },
    createStatusBarItem: () => around.bar,
    onDidChangeActiveTextEditor: (listener: () => void) => {
      around.moved = listener;
    },
  },
  workspace: {
    getConfiguration: () => ({
      get: (name: string, standard: unknown) => (name === 'languages' ? { '*': true, log: false } : standard),
    }),
    onDidChangeConfiguration: () => undefined,
    onDidOpenTextDocument: (listener: () => void) => {
      around.opened = listener;
    },
  },
}));

test("the language's item says why its document gets nothing", () => {
  const status = new StatusModel();
  createStatusItems(status);
  status.update({ phase: 'ready' });
  around.document = { uri: { scheme: 'file' }, languageId: 'log' };
  around.moved();
  expect(around.language.text).toBe('submodel: off here');
  expect(around.language.detail).toMatch(/off in log/);
  status.update({ phase: 'loading' });
  expect(around.language.detail).toBe('loading the model');
  around.document = { uri: { scheme: 'file' }, languageId: 'python' };
  status.update({ phase: 'ready' });
  expect(around.language.detail).toBe('ready');
  around.document = { uri: { scheme: 'file' }, languageId: 'log' }; // the user has picked another language
  around.opened();
  expect(around.language.text).toBe('submodel: off here');
});

test('with several folders, the items are of the bundle whose repository holds the document', () => {
  around.document = undefined;
  const status = new StatusModel();
  createStatusItems(status);
  const served = [
    { folder: '/a/.submodel/bundle', workspaceFolder: '/a', state: 'ready', parameters: 80e6 },
    { folder: '/ab/.submodel/bundle/', workspaceFolder: '/ab', state: 'ready', parameters: 200e6 },
    { folder: '/a/b/.submodel/bundle', workspaceFolder: '/a/b', state: 'failed', error: 'Its model is gone.' },
    { folder: '/a/c/.submodel/bundle', workspaceFolder: '/a/c', state: 'failed', error: 'It is damaged.' },
    { folder: '/o/.submodel/bundle', workspaceFolder: '/o', state: 'ready', parameters: 90e6, builtAt: '2026-11-27' },
  ] as const;
  status.update(toSnapshot({ state: 'ready', bundles: served }));
  const open = (fsPath: string): void => {
    around.document = { uri: { scheme: 'file', fsPath }, languageId: 'python' };
    around.moved();
  };
  open('/ab/code.py');
  expect(around.bar.text).toBe('$(sparkle) submodel 200M');
  expect(around.language).toMatchObject({ text: 'submodel 200M', detail: 'ready' });
  open('/a/code.py');
  expect(around.bar.text).toBe('$(sparkle) submodel 80M');
  open('/a/b/code.py');
  expect(around.language).toMatchObject({ text: 'submodel: off here', detail: 'Its model is gone.' });
  expect(around.bar.text).toBe('$(warning) submodel: off here');
  expect(around.bar.tooltip?.text).toMatch(/^Its model is gone\.\n/);
  status.update({ building: 'prune' });
  expect(around.bar.text).toBe('$(loading~spin) submodel: prune');
  status.update({ building: undefined });
  open('/a/c/code.py');
  expect(around.bar.tooltip?.text).not.toMatch(/parameters/); // no bundle of another repository
  open('/o/code.py'); // outside of the workspace
  expect(around.bar.text).toBe('$(sparkle) submodel 90M');
  expect(around.bar.tooltip?.text).toContain(new Date('2026-11-27').toLocaleString());
});

test('a file that no bundle serves gets nothing, unless one bundle serves all', () => {
  around.document = undefined;
  const status = new StatusModel();
  createStatusItems(status);
  const folder = '/a/.submodel/bundle';
  const served = [{ folder, workspaceFolder: '/a', state: 'ready', parameters: 80e6 }] as const;
  status.update(toSnapshot({ state: 'ready', bundles: served }));
  const open = (fsPath: string, languageId = 'python'): void => {
    around.document = { uri: { scheme: 'file', fsPath }, languageId };
    around.moved();
  };
  open('/usr/lib/python3/os.py');
  const problem = "no sub-model of this file's repository";
  expect(around.language).toMatchObject({ text: 'submodel: off here', detail: problem });
  expect(around.bar.text).toBe('$(circle-slash) submodel: off here');
  expect(around.bar.tooltip?.text).not.toMatch(/parameters/);
  open('/b/text.log', 'log');
  expect(around.language.detail).toMatch(/off in log/);
  open('/c/code.py');
  status.update({ isChosen: true });
  expect(around.bar.text).toBe('$(sparkle) submodel 80M');
});
