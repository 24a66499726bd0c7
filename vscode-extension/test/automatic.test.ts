import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { AutomaticUpdates } from '../src/build/automatic';

interface Around {
  isAutomatic: boolean;
  keyListeners: number;
  tellOfChange: () => void;
}

const around = vi.hoisted((): Around => ({ isAutomatic: false, keyListeners: 0, tellOfChange: () => undefined }));

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
    workspace: {
      isTrusted: true,
      getConfiguration: () => ({
        get: (name: string, standard: unknown) => (name === 'update.automatic' ? around.isAutomatic : standard),
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

const SILENT = { info: () => undefined } as never;
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
