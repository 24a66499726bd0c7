import { beforeEach, expect, test, vi } from 'vitest';

import { toggleEnabled, toggleLanguage } from '../src/status/switches';

interface Around {
  answer: string | undefined;
  told: string[];
  ofUser: Record<string, unknown>;
  ofWorkspace: Record<string, unknown>;
}

const BUSY = 4_000; // ms that a busy machine may take
const around = vi.hoisted((): Around => ({
  answer: undefined,
  told: [],
  ofUser: {},
  ofWorkspace: {},
}));
vi.mock('vscode', () => ({
  ConfigurationTarget: { Global: 1, Workspace: 2 },
  window: {
    activeTextEditor: { document: { languageId: 'python' } },
    showInformationMessage: (text: string) => {
      around.told.push(text);
      return Promise.resolve(around.answer);
    },
  },
  workspace: {
    workspaceFolders: [{}],
    getConfiguration: () => ({
      get: (name: string, standard: unknown) => around.ofWorkspace[name] ?? around.ofUser[name] ?? standard,
      inspect: (name: string) => ({ workspaceValue: around.ofWorkspace[name], globalValue: around.ofUser[name] }),
      update: (name: string, value: unknown, target: number) =>
        Promise.resolve(void ((target === 1 ? around.ofUser : around.ofWorkspace)[name] = value)),
    }),
  },
}));

beforeEach(() => {
  Object.assign(around, { answer: undefined, told: [], ofUser: {}, ofWorkspace: {} });
});

test('off for the user is off in all windows, and a button makes it only this one', async () => {
  await toggleEnabled();
  expect(around).toMatchObject({ ofUser: { enabled: false }, told: ['Suggestions are off in all windows.'] });
  await toggleEnabled();
  expect(around.told).toHaveLength(1); // on again
  around.answer = 'Only Here';
  await toggleEnabled();
  await vi.waitFor(() => {
    expect(around).toMatchObject({ ofUser: { enabled: true }, ofWorkspace: { enabled: false } });
  }, BUSY);
});

test('a language is turned off where languages are set, and the others stay', async () => {
  around.ofUser = { languages: { log: true } };
  await toggleLanguage();
  expect(around).toMatchObject({ ofUser: { languages: { log: true, python: false } }, ofWorkspace: {} });
  around.ofWorkspace = { languages: { python: false } };
  await toggleLanguage();
  expect(around.ofWorkspace).toEqual({ languages: { python: true } });
});
