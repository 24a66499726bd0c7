import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { chooseBundle, chosenBundle, holds } from '../src/bundle/choice';

interface Item {
  readonly label: string;
  readonly folder: string | undefined;
}

interface Around {
  bundle: string;
  ofUser: string | undefined;
  folders: object[];
  isTrusted: boolean;
  items: Item[];
  picked: string | undefined; // of the list
  browsed: string;
  updates: unknown[];
  warnings: number;
}

const around = vi.hoisted((): Around => ({
  bundle: '',
  ofUser: undefined,
  folders: [],
  isTrusted: true,
  items: [],
  picked: '',
  browsed: '',
  updates: [],
  warnings: 0,
}));
vi.mock('vscode', () => ({
  ConfigurationTarget: { Global: 'user', Workspace: 'workspace' },
  window: {
    showOpenDialog: () => Promise.resolve([{ fsPath: around.browsed }]),
    showQuickPick: async (items: Promise<Item[]>) => {
      around.items = await items;
      return around.items.find(({ folder }) => folder === around.picked);
    },
    showWarningMessage: () => (around.warnings += 1),
  },
  workspace: {
    getConfiguration: () => ({
      get: (name: string) => (name === 'bundle' ? around.bundle : undefined),
      inspect: () => ({ globalValue: around.ofUser }),
      update: (...args: unknown[]) => Promise.resolve(void around.updates.push(args)),
    }),
    get isTrusted() {
      return around.isTrusted;
    },
    get workspaceFolders() {
      return around.folders;
    },
  },
}));

let root: string;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'submodel-'));
  const folders = [{ uri: { scheme: 'file', fsPath: root } }];
  Object.assign(around, { bundle: '', ofUser: undefined, folders, isTrusted: true, updates: [], warnings: 0 });
});
afterEach(() => {
  fs.rmSync(root, { recursive: true });
});

test('what the setting names is absolute', () => {
  expect(chosenBundle()).toBeUndefined();
  for (const [bundle, folder] of [
    ['own/bundle', path.join(root, 'own', 'bundle')],
    ['${workspaceFolder}/b', path.join(root, 'b')],
    ['~/b', path.join(os.homedir(), 'b')],
    [path.join(root, 'b'), path.join(root, 'b')],
  ] as const) {
    around.bundle = bundle;
    expect(chosenBundle()).toBe(folder);
  }
});

test('in a workspace that is not trusted, the setting names nothing of it', () => {
  around.isTrusted = false;
  for (const bundle of ['own/bundle', '${workspaceFolder}/b']) {
    around.bundle = bundle;
    expect(chosenBundle()?.startsWith(root)).toBe(false);
  }
});

test('an older bundle that the server names, or another folder, is set for the workspace', async () => {
  const older = path.join(root, '.submodel', 'previous', 'a');
  fs.mkdirSync(older, { recursive: true });
  fs.writeFileSync(path.join(older, 'bundle.json'), '{}');
  const served = [{ previous: [older] }, { previous: [older] }];
  around.picked = older;
  await chooseBundle(served);
  expect(around.items.map(({ folder }) => folder)).toEqual([undefined, older, 'browse']);
  Object.assign(around, { picked: 'browse', browsed: older });
  await chooseBundle(served);
  around.browsed = root;
  await chooseBundle(served); // no bundle
  expect(around.updates).toEqual([
    ['bundle', older, 'workspace'],
    ['bundle', older, 'workspace'],
  ]);
  expect(around.warnings).toBe(1);
});

test("the workspace's own takes the setting away, also from one of the user's", async () => {
  around.picked = undefined;
  await chooseBundle([]);
  around.ofUser = '/mine';
  await chooseBundle([]);
  around.folders = [];
  await chooseBundle([]);
  expect(around.updates).toEqual([
    ['bundle', undefined, 'workspace'],
    ['bundle', '', 'workspace'],
    ['bundle', undefined, 'user'],
  ]);
});

test('the chosen bundle has the mark, however it is written', async () => {
  const marked = (): (string | undefined)[] =>
    around.items.filter(({ label }) => label.startsWith('$(check)')).map(({ folder }) => folder);
  await chooseBundle([]);
  expect(marked()).toEqual([undefined]);
  around.bundle = '/older/';
  await chooseBundle([{ previous: ['/older'] }]);
  expect([marked(), around.items.length]).toEqual([['/older'], 3]);
  await chooseBundle([]);
  expect([marked(), around.items.length]).toEqual([['/older'], 3]);
});

test('what a folder of the workspace holds itself', async () => {
  fs.mkdirSync(path.join(root, '.git'));
  expect([await holds('.git'), await holds('.submodel')]).toEqual([true, false]);
});
