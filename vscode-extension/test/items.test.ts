import { expect, test, vi } from 'vitest';

import { createStatusItems } from '../src/status/items';
import { StatusModel } from '../src/status/model';

interface Around {
  language: { text: string; detail: string };
  document: object | undefined;
  moved: () => void;
  opened: () => void;
}

const around = vi.hoisted((): Around => ({
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
    readonly appendMarkdown = (): this => this;
    readonly appendText = (): this => this;
  },
  StatusBarAlignment: {},
  languages: { createLanguageStatusItem: () => around.language },
  window: {
    get activeTextEditor() {
      return around.document && { document: around.document };
    },
    createStatusBarItem: () => ({ show: () => undefined }),
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
