import { beforeEach, expect, test, vi } from 'vitest';

import { nameOf, pickTarget } from '../src/build/target';

const around = vi.hoisted(() => ({ folders: [] as object[] }));
const showQuickPick = vi.hoisted(() => vi.fn());
vi.mock('vscode', () => ({
  window: { showQuickPick },
  workspace: {
    get workspaceFolders() {
      return around.folders;
    },
  },
}));

const folder = (name: string, fsPath: string): object => ({ name, uri: { scheme: 'file', fsPath } });
const SERVED = [{ folder: '/a/.submodel/bundle', workspaceFolder: '/a' }];

beforeEach(() => {
  showQuickPick.mockReset();
});

test('the one folder is built of, and of several the one that is picked', async () => {
  around.folders = [folder('first', '/a/')]; // the same as that of the bundle
  const target = await pickTarget(SERVED);
  expect(target).toMatchObject({ folder: { name: 'first' } });
  expect([showQuickPick.mock.calls, nameOf(target!)]).toEqual([[], 'first']);
  around.folders = [folder('first', '/b'), folder('second', '/c')];
  showQuickPick.mockResolvedValueOnce({ folder: around.folders[1] });
  expect(await pickTarget(SERVED)).toMatchObject({ repository: '/c', folder: { name: 'second' } });
  expect(await pickTarget(SERVED)).toBeUndefined();
});

test('of a folder in a repository with a sub-model, either is built of', async () => {
  around.folders = [folder('src', '/a/src')];
  showQuickPick.mockImplementationOnce(([first]: object[]) => first);
  const target = await pickTarget(SERVED);
  expect([target?.repository, nameOf(target!)]).toEqual(['/a', 'a']);
  showQuickPick.mockImplementationOnce(([, second]: object[]) => second);
  expect(await pickTarget(SERVED)).toMatchObject({ repository: '/a/src' });
});
