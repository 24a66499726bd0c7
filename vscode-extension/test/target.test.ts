import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { nameOf, pickTarget } from '../src/build/target';
import { OWN_BUNDLE } from '../src/bundle/bundles';

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

let repository: string;

beforeEach(() => {
  repository = fs.mkdtempSync(path.join(os.tmpdir(), 'submodel-'));
  fs.mkdirSync(path.join(repository, '.git'));
  fs.mkdirSync(path.join(repository, OWN_BUNDLE), { recursive: true });
  fs.writeFileSync(path.join(repository, OWN_BUNDLE, 'bundle.json'), JSON.stringify({ files: {} }));
  around.folders = [{ name: 'first', uri: { scheme: 'file', fsPath: repository } }];
  showQuickPick.mockClear();
});
afterEach(() => {
  fs.rmSync(repository, { recursive: true });
});

test('a repository that is written in two ways is one', async () => {
  const written = repository + path.sep; // on Windows also in another case
  const target = await pickTarget('update', undefined, [written]);
  expect(target).toMatchObject({ repository, folder: { name: 'first' } });
  expect(showQuickPick).not.toHaveBeenCalled();
  expect(nameOf({ ...target!, repository: written })).toBe('first');
});

test('who updates in a window of several repositories picks one', async () => {
  const below = path.join(repository, 'packages', 'api');
  fs.cpSync(path.join(repository, '.submodel'), path.join(below, '.submodel'), { recursive: true });
  showQuickPick.mockResolvedValueOnce(below);
  expect(await pickTarget('update', undefined, [below])).toMatchObject({
    repository: below,
    folder: { name: 'first' },
  });
  expect(showQuickPick.mock.lastCall?.[0]).toEqual([repository, below]);
  expect(await pickTarget('update', undefined, [below])).toBeUndefined();
});
