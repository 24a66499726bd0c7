import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { SILENT } from './doubles';

interface Around {
  works: string[];
  isActive: boolean;
  activated: number;
  namedAfterMs: number;
  broken: string; // the folder whose environment the Python extension can't name
}

const around = vi.hoisted((): Around => ({ works: [], isActive: false, activated: 0, namedAfterMs: 0, broken: '' }));

vi.mock('vscode', async () => {
  const api = {
    environments: {
      getActiveEnvironmentPath: ({ fsPath }: { fsPath: string }) => {
        if (fsPath === around.broken) {
          throw new Error('no such folder');
        }
        return { path: 'selected' };
      },
      resolveEnvironment: async () => {
        await new Promise((resolve) => setTimeout(resolve, around.namedAfterMs));
        return { executable: { uri: { fsPath: '/envs/app/bin/python' } } };
      },
      onDidChangeActiveEnvironmentPath: () => ({ dispose: () => undefined }),
    },
  };
  return {
    EventEmitter: (await import('./doubles.js')).Emitter,
    Disposable: class {
      constructor(readonly dispose: () => void) {}
      static from(): object {
        return {};
      }
    },
    extensions: {
      getExtension: () => ({
        get isActive() {
          return around.isActive;
        },
        exports: api,
        activate: () => {
          around.activated += 1;
          return Promise.resolve(api);
        },
      }),
    },
    workspace: {
      isTrusted: true,
      workspaceFolders: ['/work/gone', '/work/app'].map((fsPath) => ({ uri: { scheme: 'file', fsPath } })),
    },
  };
});
vi.mock('../src/executable/probe', () => ({
  probeVersion: (command: string) =>
    Promise.resolve(
      around.works.includes(command) ? { version: '0.1.0' } : { problem: 'there is no such program', isMissing: true },
    ),
}));

const SETTINGS = { path: '' } as never;
const [OWN, SELECTED, ON_PATH] = ['/work/app/.venv/bin/submodel', '/envs/app/bin/submodel', 'submodel'];

beforeEach(() => {
  vi.resetModules(); // what the window remembers of the Python extension
  vi.useFakeTimers();
  vi.stubEnv('PATH', '');
  vi.stubEnv('SUBMODEL_PATH', '');
  Object.assign(around, { works: [], isActive: true, activated: 0, namedAfterMs: 0, broken: '' });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
});

/** The paths above are not those of Windows, where a link needs a privilege, too. */
const testOnPosix = test.skipIf(process.platform === 'win32');

/** The program that is found, or the problem; how long it took; and how often an environment was named too late. */
async function find(mayActivate = true): Promise<[found: string, ms: number, late: () => number]> {
  const { findExecutable } = await import('../src/executable/find.js');
  const { onDidSelectInterpreter } = await import('../src/executable/python.js');
  let late = 0;
  onDidSelectInterpreter(() => (late += 1));
  const started = Date.now();
  const finding = findExecutable(SETTINGS, SILENT, mayActivate).then((found) => [
    'executable' in found ? found.executable.command : found.problem,
    Date.now() - started,
  ]);
  await vi.advanceTimersByTimeAsync(20_000);
  const [found, ms] = (await finding) as [string, number];
  return [found, ms, () => late];
}

testOnPosix('the program in .venv comes first, so the Python extension is not asked', async () => {
  Object.assign(around, { works: [OWN, SELECTED, ON_PATH], isActive: false });
  expect((await find()).slice(0, 2)).toEqual([OWN, 0]);
  expect(around.activated).toBe(0);
});

testOnPosix('the selected environment goes before PATH if it is named in time', async () => {
  Object.assign(around, { works: [SELECTED, ON_PATH], namedAfterMs: 400 });
  expect((await find()).slice(0, 2)).toEqual([SELECTED, 400]);
});

testOnPosix('a folder whose environment fails takes nothing from the others', async () => {
  Object.assign(around, { works: [SELECTED], broken: '/work/gone' });
  expect((await find())[0]).toBe(SELECTED);
});

testOnPosix('PATH is taken after half a second, and the late environment is heard of', async () => {
  Object.assign(around, { works: [SELECTED, ON_PATH], namedAfterMs: 10_000 });
  const [found, ms, late] = await find();
  expect([found, ms, late()]).toEqual([ON_PATH, 500, 1]);
});

testOnPosix('if nothing else is found, the Python extension has five seconds', async () => {
  Object.assign(around, { works: [SELECTED], namedAfterMs: 4_900 });
  expect((await find()).slice(0, 2)).toEqual([SELECTED, 4_900]);
  around.namedAfterMs = 10_000;
  const [found, ms] = await find();
  expect([found.startsWith('submodel is not installed'), ms]).toEqual([true, 5_000]);
});

testOnPosix('a Python extension that is not active is activated if it may be and nothing else is found', async () => {
  Object.assign(around, { works: [SELECTED, ON_PATH], isActive: false });
  expect((await find())[0]).toBe(ON_PATH);
  expect(around.activated).toBe(0);
  around.works = [SELECTED];
  expect((await find(false))[0]).toMatch(/^submodel is not installed/);
  expect(around.activated).toBe(0);
  expect((await find())[0]).toBe(SELECTED);
  expect(around.activated).toBe(1);
});

testOnPosix('a Python extension that is active is asked also if it may not be activated', async () => {
  around.works = [SELECTED, ON_PATH];
  expect((await find(false))[0]).toBe(SELECTED);
});

testOnPosix('a folder of PATH that may not be searched holds no program', async () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'submodel-'));
  fs.symlinkSync('loop', path.join(root, 'loop')); // it raises as a folder without permission does, for root too
  vi.stubEnv('PATH', path.join(root, 'loop'));
  const { findExecutable } = await import('../src/executable/find.js');
  const found = await findExecutable({ path: 'submodel' } as never, SILENT);
  expect(found).toEqual({
    problem: 'submodel (from the setting submodel.path) is not submodel: there is no such program.',
  });
  fs.rmSync(root, { recursive: true });
});
