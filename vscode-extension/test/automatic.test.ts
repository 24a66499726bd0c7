import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { AutomaticUpdates } from '../src/build/automatic';
import { SILENT } from './doubles';

interface Around {
  isAutomatic: boolean;
  keyListeners: number;
  tellOfChange: () => void;
  tellOfSelection: (kind?: number) => void;
  windowState: { active: boolean };
}

const around = vi.hoisted((): Around => ({
  isAutomatic: false,
  keyListeners: 0,
  tellOfChange: () => undefined,
  tellOfSelection: () => undefined,
  windowState: { active: false },
}));

vi.mock('vscode', () => {
  class Disposable {
    constructor(readonly dispose: () => void) {}
    static from(...all: Disposable[]): Disposable {
      return new Disposable(() => {
        all.forEach((one) => {
          one.dispose();
        });
      });
    }
  }
  return {
    Disposable,
    Uri: { file: (path: string) => path },
    TextEditorSelectionChangeKind: { Keyboard: 1, Mouse: 2, Command: 3 },
    window: {
      state: around.windowState,
      onDidChangeTextEditorSelection: (listener: (event: object) => void) => {
        around.tellOfSelection = (kind) => {
          listener({ kind });
        };
        return new Disposable(() => undefined);
      },
    },
    workspace: {
      isTrusted: true,
      getConfiguration: () => ({
        get: (name: string, standard: unknown) => (name === 'update.automatic' ? around.isAutomatic : standard),
        inspect: () => undefined,
      }),
      onDidChangeConfiguration: (listener: (event: object) => void) => {
        around.tellOfChange = () => {
          listener({ affectsConfiguration: (name: string) => name === 'submodel.update.automatic' });
        };
        return new Disposable(() => undefined);
      },
      onDidChangeTextDocument: () => {
        around.keyListeners += 1;
        return new Disposable(() => {
          around.keyListeners -= 1;
        });
      },
    },
  };
});

const builds = {
  runsByItself: false,
  standStill: () => undefined,
  stopByItself: () => Promise.resolve(void (builds.runsByItself = false)),
};

beforeEach(() => {
  vi.useFakeTimers();
  Object.assign(around, { isAutomatic: false, keyListeners: 0 });
});
afterEach(() => {
  vi.useRealTimers();
});

function watching(): [timers: number, keyListeners: number] {
  return [vi.getTimerCount(), around.keyListeners];
}

test('nothing is watched but while updates may begin by themselves, or one runs', async () => {
  const updates = new AutomaticUpdates(builds as never, {} as never, {} as never, SILENT);
  expect(watching()).toEqual([0, 0]);
  around.isAutomatic = true;
  around.tellOfChange();
  around.tellOfChange();
  expect(watching()).toEqual([1, 1]);
  builds.runsByItself = true;
  around.isAutomatic = false;
  around.tellOfChange();
  expect(watching()).toEqual([1, 1]);
  await vi.advanceTimersByTimeAsync(5_000);
  expect([builds.runsByItself, watching()]).toEqual([false, [0, 0]]);
  around.isAutomatic = true;
  around.tellOfChange();
  updates.dispose();
  expect(watching()).toEqual([0, 0]);
});

test('the server is asked every ten minutes, also by a clock that was set back', async () => {
  let asked = 0;
  around.isAutomatic = true;
  const controller = { readStatus: () => Promise.resolve(void (asked += 1)) };
  const updates = new AutomaticUpdates({ ...builds } as never, controller as never, {} as never, SILENT);
  await vi.advanceTimersByTimeAsync(120_000);
  expect(asked).toBe(1);
  vi.setSystemTime(Date.now() - 24 * 3_600_000);
  await vi.advanceTimersByTimeAsync(120_000);
  expect(asked).toBe(2);
  updates.dispose();
});

/** What a night without a key comes to: the minute and the repository of each update that began. */
async function spendNight(repositories: readonly string[], outcome: string): Promise<[number, string][]> {
  const begun: [number, string][] = [];
  const startMs = Date.now();
  const updateByItself = ({ repository }: { repository: string }): Promise<string> => {
    begun.push([Math.round((Date.now() - startMs) / 60_000), repository]);
    return Promise.resolve(outcome);
  };
  const drift = { isStale: true, files: 10, changed: 3, added: 0, removed: 0, command: 'submodel update' };
  const bundles = repositories.map((workspaceFolder) => ({ workspaceFolder, build: 'b0', drift }));
  const controller = { readStatus: () => Promise.resolve({ bundles }) };
  around.isAutomatic = true;
  const updates = new AutomaticUpdates(
    { ...builds, updateByItself } as never,
    controller as never,
    { has: () => false } as never,
    SILENT,
  );
  await vi.advanceTimersByTimeAsync(2 * 3_600_000);
  updates.dispose();
  return begun;
}

test('an update that had to wait is tried again after an hour, and others get their turn', async () => {
  expect(await spendNight(['/a', '/b'], 'notNow')).toEqual([
    [1, '/a'],
    [11, '/b'],
    [61, '/a'],
    [71, '/b'],
  ]);
});

test('an update that was done does not begin again at the drift that the server still tells of', async () => {
  expect(await spendNight(['/a', '/b'], 'done')).toEqual([
    [1, '/a'],
    [11, '/b'],
  ]);
});

test('an update stands still while the cursor is moved, and goes on ten seconds later', async () => {
  const stands: boolean[] = [];
  const running = { ...builds, runsByItself: true, standStill: (isStill: boolean) => void stands.push(isStill) };
  around.isAutomatic = true;
  const controller = { readStatus: () => Promise.resolve({ power: {} }) };
  const updates = new AutomaticUpdates(running as never, controller as never, {} as never, SILENT);
  await vi.advanceTimersByTimeAsync(15_000);
  expect(stands.splice(0)).toEqual([false, false]);
  [undefined, 3].forEach(around.tellOfSelection); // a program did that
  expect(stands).toEqual([]);
  around.windowState.active = true;
  around.tellOfSelection(); // an emulation of Vim did that, as somebody pressed a key
  expect(stands.splice(0)).toEqual([true]);
  around.windowState.active = false;
  around.tellOfSelection(1);
  around.tellOfSelection(2);
  expect(stands.splice(0)).toEqual([true, true]);
  await vi.advanceTimersByTimeAsync(15_000);
  expect(stands).toEqual([false, false]);
  updates.dispose();
});

test('a running update stands still on battery, and goes on once the machine is plugged in', async () => {
  const stands: boolean[] = [];
  const running = { ...builds, runsByItself: true, standStill: (isStill: boolean) => void stands.push(isStill) };
  const status = { power: { onBattery: true } };
  around.isAutomatic = true;
  const controller = { readStatus: () => Promise.resolve(status) };
  const updates = new AutomaticUpdates(running as never, controller as never, {} as never, SILENT);
  await vi.advanceTimersByTimeAsync(20_000);
  expect(new Set(stands.splice(0))).toEqual(new Set([true]));
  status.power.onBattery = false;
  await vi.advanceTimersByTimeAsync(20_000);
  expect(stands.at(-1)).toBe(false);
  updates.dispose();
});
