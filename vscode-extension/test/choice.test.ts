import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { OWN_BUNDLE } from '../src/bundle/bundles';
import { Bundles } from '../src/bundle/choice';
import { makeMemory } from './doubles';

const BUSY = 4_000; // ms that a busy machine may take
const found = vi.hoisted(() => vi.fn());
const showQuickPick = vi.hoisted(() => vi.fn());
const showOpenDialog = vi.hoisted(() => vi.fn());
const showWarningMessage = vi.hoisted(() => vi.fn());
const workspace = vi.hoisted(() => ({
  workspaceFolders: [] as object[],
  textDocuments: [] as object[],
  off: undefined as string | undefined, // a folder with submodel.enabled: false
  getConfiguration: (_section: string, scope?: string) => ({
    get: (name: string, standard: unknown) => (name === 'enabled' ? scope !== workspace.off : standard),
    inspect: () => undefined,
  }),
  isTrusted: true,
}));
vi.mock('vscode', () => ({
  EventEmitter: class {
    readonly fire = found;
  },
  Uri: { file: (file: string) => file },
  window: { showOpenDialog, showQuickPick, showWarningMessage },
  workspace,
}));

let root: string;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'submodel-'));
  fs.mkdirSync(path.join(root, '.git'));
  workspace.workspaceFolders = [{ uri: { scheme: 'file', fsPath: root } }];
  workspace.textDocuments = [];
  workspace.off = undefined;
  found.mockClear();
});
afterEach(() => {
  fs.rmSync(root, { recursive: true });
});

function build(folder: string): string {
  const bundle = path.join(root, folder, OWN_BUNDLE);
  fs.mkdirSync(bundle, { recursive: true });
  fs.writeFileSync(path.join(bundle, 'bundle.json'), JSON.stringify({ files: {} }));
  return path.join(root, folder);
}

test.skipIf(process.platform === 'win32')('nothing is read from a network share', async () => {
  const bundle = path.join(build('.'), OWN_BUNDLE);
  expect(await new Bundles({ get: () => bundle } as never).served()).toHaveLength(1);
  const onShare = new Bundles({ get: () => `/${bundle}` } as never); // on Windows it would be one; here it is the same folder
  expect(await onShare.served()).toEqual([]);
  expect(onShare.problem()).toContain('is on a network share');
});

/** An opened file. */
function open(file: string, scheme = 'file'): { readonly uri: never } {
  return { uri: { scheme, fsPath: path.join(root, file) } as never };
}

test('the two older bundles on disk that were replaced last are listed, the last one first', async () => {
  build('.');
  const older = ['b', 'a', 'half', 'old'].map((name) => path.join(root, '.submodel', 'previous', name));
  older.forEach((folder, age) => {
    fs.mkdirSync(folder, { recursive: true });
    fs.writeFileSync(path.join(folder, age !== 2 ? 'bundle.json' : 'other.json'), JSON.stringify({ files: {} }));
    fs.utimesSync(folder, 1000 - age, 1000 - age);
  });
  const bundles = new Bundles({ get: () => undefined } as never);
  expect(await bundles.olderOnDisk()).toEqual(older.slice(0, 2));
  workspace.isTrusted = false;
  expect(await bundles.olderOnDisk()).toEqual([]);
  workspace.isTrusted = true;
});

test('who picks a bundle in a window of several repositories reads that it serves all of them', async () => {
  const bundles = new Bundles({ get: () => undefined } as never);
  const folders = workspace.workspaceFolders;
  for (const [name, words] of [
    ['one', 'in this workspace'],
    ['two', 'all files of the 2 repositories'],
  ] as const) {
    build(name);
    folders.push({ uri: { scheme: 'file', fsPath: path.join(root, name) } });
    await bundles.choose(() => Promise.resolve([]));
    expect(showQuickPick.mock.lastCall?.[1]).toMatchObject({ placeHolder: expect.stringContaining(words) as string });
  }
});

test('a package of a monorepo is served once a file of it is open', async () => {
  const bundles = new Bundles({ get: () => undefined } as never);
  const api = build('packages/api');
  build('packages/web');
  expect(await bundles.served()).toEqual([]);
  workspace.textDocuments = [open('README.md'), open('packages/api/src/a.py'), open('packages/web/a.py', 'git')];
  expect(await bundles.served()).toMatchObject([{ folder: path.join(api, OWN_BUNDLE) }]);
  expect(await bundles.repositoriesBelow()).toEqual([api]);
  expect(await bundles.repositoriesElsewhere()).toEqual([api]);
  workspace.textDocuments = []; // what an open file has shown stays
  expect(await bundles.repositories()).toEqual([api]);
  workspace.workspaceFolders = [{ uri: { scheme: 'file', fsPath: path.join(root, 'packages', 'web') } }];
  expect(await bundles.repositoriesBelow()).toEqual([]);
});

test('a bundle that an opened file brings is reported once', async () => {
  const bundles = new Bundles({ get: () => undefined } as never);
  build('packages/api');
  build('.');
  await bundles.lookFrom(open('a.py')); // the workspace's own
  expect(found).not.toHaveBeenCalled();
  await bundles.lookFrom(open('packages/api/a.py'));
  await bundles.lookFrom(open('packages/api/b.py'));
  await bundles.lookFrom({ uri: { scheme: 'file', fsPath: '/elsewhere/a.py' } as never });
  expect(found).toHaveBeenCalledOnce();
});

test("a folder's own bundle is not one below it, however the folder is written", async () => {
  const bundles = new Bundles({ get: () => undefined } as never);
  build('.');
  workspace.workspaceFolders = [{ uri: { scheme: 'file', fsPath: root + path.sep } }]; // on Windows also in another case
  await bundles.lookFrom(open('a.py'));
  expect(found).not.toHaveBeenCalled();
  expect(await bundles.repositoriesBelow()).toEqual([]);
  expect(await bundles.repositoriesElsewhere()).toEqual([]);
});

test('nothing is read of a folder whose suggestions are off', async () => {
  const bundles = new Bundles({ get: () => undefined } as never);
  const [on, off] = [build('on'), build('off')];
  workspace.workspaceFolders = [on, off].map((fsPath) => ({ uri: { scheme: 'file', fsPath } }));
  expect(await bundles.repositories()).toEqual([on, off]);
  workspace.off = off;
  expect(await bundles.served()).toMatchObject([{ folder: path.join(on, OWN_BUNDLE) }]);
});

test('a pick is forgotten once', async () => {
  const memory = makeMemory();
  await memory.update('bundle', '/elsewhere/bundle');
  const bundles = new Bundles(memory as never);
  expect([await bundles.forgetPick(), await bundles.forgetPick()]).toEqual([true, false]);
  expect(bundles.picked()).toBeUndefined();
});

test('a bundle that was picked from elsewhere is listed, with the mark', async () => {
  const other = path.join(build('other'), OWN_BUNDLE);
  await new Bundles({ get: () => other } as never).choose(() => Promise.resolve([]));
  const items = (await (showQuickPick.mock.lastCall?.[0] as Promise<object[]>)) as { label: string; detail?: string }[];
  expect(items.filter(({ label }) => label.startsWith('$(check)')).map(({ detail }) => detail)).toEqual([other]);
});

test.skipIf(process.platform === 'win32')(
  'a listed bundle on a network share is refused, as one of another folder is',
  async () => {
    const onShare = `/${path.join(build('older'), OWN_BUNDLE)}`; // on Windows it would be one; here it is the same folder
    const update = vi.fn();
    const bundles = new Bundles({ get: () => undefined, update } as never);
    showOpenDialog.mockResolvedValueOnce([{ fsPath: onShare }]);
    for (const folder of [onShare, 'browse']) {
      showQuickPick.mockImplementationOnce(async (items: Promise<{ folder?: string }[]>) =>
        (await items).find((item) => item.folder === folder),
      );
      showWarningMessage.mockClear();
      expect(await bundles.choose(() => Promise.resolve([onShare]))).toBe(false);
      expect(showWarningMessage).toHaveBeenCalledExactlyOnceWith(expect.stringContaining('is on a network share'));
    }
    expect(update).not.toHaveBeenCalled();
  },
);

test('a pick has its mark however it is written', async () => {
  const older = path.join(build('older'), OWN_BUNDLE);
  await new Bundles({ get: () => older + path.sep } as never).choose(() => Promise.resolve([older]));
  const items = (await (showQuickPick.mock.lastCall?.[0] as Promise<object[]>)) as { label: string; detail?: string }[];
  expect(items).toHaveLength(3);
  expect(items.filter(({ label }) => label.startsWith('$(check)')).map(({ detail }) => detail)).toEqual([older]);
});

test('the choice is shown at once, and the older bundles once the server has named them', async () => {
  let name: (older: string[]) => void = () => undefined;
  const older = (): Promise<string[]> => new Promise((resolve) => (name = resolve));
  const choosing = new Bundles({ get: () => undefined } as never).choose(older);
  showQuickPick.mockClear();
  await vi.waitFor(() => {
    expect(showQuickPick).toHaveBeenCalledOnce();
  }, BUSY);
  name([path.join(build('older'), OWN_BUNDLE)]);
  expect(await (showQuickPick.mock.lastCall?.[0] as Promise<object[]>)).toHaveLength(3);
  expect(await choosing).toBe(false);
});

test('a server that stands still holds up no choice: the older bundles on disk are listed', async () => {
  build('.');
  const older = path.join(root, '.submodel', 'previous', 'a');
  fs.mkdirSync(older, { recursive: true });
  fs.writeFileSync(path.join(older, 'bundle.json'), JSON.stringify({ files: {} }));
  showQuickPick.mockClear();
  vi.useFakeTimers({ toFake: ['setTimeout'] });
  try {
    void new Bundles({ get: () => undefined } as never).choose(() => new Promise(() => undefined));
    while (showQuickPick.mock.calls.length === 0) {
      await new Promise(setImmediate);
    }
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await (showQuickPick.mock.lastCall?.[0] as Promise<object[]>)).toMatchObject([{}, { folder: older }, {}]);
  } finally {
    vi.useRealTimers();
  }
});
