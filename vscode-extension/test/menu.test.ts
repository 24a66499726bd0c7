import { expect, test, vi } from 'vitest';

import { showMenu } from '../src/status/menu';
import { INITIAL, type Snapshot } from '../src/status/state';

const { showQuickPick } = vi.hoisted(() => ({ showQuickPick: vi.fn() }));
const window = vi.hoisted((): { activeTextEditor?: object } => ({}));
vi.mock('vscode', () => ({
  window: Object.assign(window, { showQuickPick }),
  languages: { match: (_: unknown, { scheme }: { scheme: string }) => (scheme === 'file' ? 10 : 0) },
  workspace: {
    getConfiguration: () => ({
      get: (name: string, standard: unknown) => (name === 'languages' ? { '*': true, log: false } : standard),
    }),
  },
}));

async function commands(snapshot: Snapshot): Promise<unknown[]> {
  await showMenu(snapshot);
  const entries = showQuickPick.mock.lastCall?.[0] as { readonly command: string; readonly detail?: string }[];
  return entries.map(({ command, detail }) => (detail === undefined ? command : [command, detail]));
}

test('an untrusted bundle can be trusted for as long as there is one', async () => {
  const untrusted = { folder: '/a/.submodel/bundle', build: 'b0' };
  expect(await commands({ ...INITIAL, untrusted })).toContainEqual(['submodel.trustBundle', untrusted.folder]);
  expect((await commands(INITIAL)).flat()).not.toContain('submodel.trustBundle');
});

test.each([
  [{ phase: 'disabled' }, 'submodel.toggle'],
  [{ phase: 'untrusted' }, 'workbench.trust.manage'],
  [{ phase: 'no-bundle' }, 'submodel.openWalkthrough'],
  [{ phase: 'no-bundle', executable: '/bin/submodel' }, 'submodel.build'],
  [{ phase: 'no-executable' }, 'submodel.openWalkthrough'],
  [{ phase: 'failed' }, 'submodel.restart'],
] as const)('%o: first comes what helps, once', async (change, command) => {
  const all = await commands({ ...INITIAL, ...change });
  expect(all[0]).toBe(command);
  expect(all.filter((one) => one === command)).toHaveLength(1);
});

test('a build can be stopped and watched', async () => {
  const shown = ['submodel.stopBuild', 'workbench.action.tasks.showTasks'];
  expect((await commands({ ...INITIAL, building: 'prune' })).slice(0, 2)).toEqual(shown);
  expect(await commands(INITIAL)).not.toContain(shown[0]);
});

test("the active editor's language has a switch", async () => {
  const labels = async (languageId: string, scheme: string): Promise<string[]> => {
    window.activeTextEditor = { document: { languageId, scheme, uri: { scheme } } };
    await showMenu(INITIAL);
    const entries = showQuickPick.mock.lastCall?.[0] as { readonly label: string }[];
    return entries.map(({ label }) => label).filter((label) => / in /.test(label));
  };
  expect(await labels('python', 'file')).toEqual(['$(circle-slash) Turn Off in python']);
  expect(await labels('log', 'file')).toEqual(['$(check) Turn On in log']);
  expect(await labels('python', 'output')).toEqual([]);
});

test('the menu is about the document at hand', async () => {
  const bundle = (repository: string) => ({ folder: `${repository}/.submodel/bundle`, workspaceFolder: repository });
  const served = [bundle('/a'), { ...bundle('/b'), state: 'failed', error: 'It is damaged.' }] as const;
  const snapshot: Snapshot = { ...INITIAL, phase: 'ready', served };
  const open = async (fsPath: string): Promise<unknown> => {
    const uri = { scheme: 'file', fsPath };
    window.activeTextEditor = { document: { languageId: 'python', scheme: 'file', uri } };
    await showMenu(snapshot);
    return (showQuickPick.mock.lastCall?.[1] as { placeHolder: string }).placeHolder;
  };
  expect(await open('/a/code.py')).toBe('submodel: ready');
  expect(await open('/b/code.py')).toBe('submodel: It is damaged.');
  expect(await open('/c/code.py')).toBe("submodel: no sub-model of this file's repository");
});
