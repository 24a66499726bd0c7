import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { followWalkthrough, openWalkthrough, setContext } from '../src/onboarding/context';
import { Offers } from '../src/onboarding/offers';
import { makeMemory } from './doubles';

const around = vi.hoisted(() => ({
  folders: [] as object[],
  tabs: [] as object[],
  tellOfTabs: (): void => undefined,
  asked: vi.fn(() => Promise.resolve()),
  executed: vi.fn(() => Promise.resolve()),
}));
vi.mock('vscode', async () => {
  const { Emitter } = await import('./doubles.js');
  class Disposable {
    constructor(readonly dispose: () => void) {}
    static from(): Disposable {
      return new Disposable(() => undefined);
    }
  }
  return {
    Disposable,
    EventEmitter: Emitter,
    commands: { executeCommand: around.executed },
    window: {
      showInformationMessage: around.asked,
      tabGroups: {
        get all() {
          return [{ tabs: around.tabs }];
        },
        onDidChangeTabs: (listener: () => void) => {
          around.tellOfTabs = listener;
        },
      },
    },
    workspace: {
      isTrusted: true,
      get workspaceFolders() {
        return around.folders;
      },
    },
  };
});

let root: string;

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'submodel-'));
  around.folders = [{ uri: { scheme: 'file', fsPath: root } }];
  around.asked.mockClear();
});
afterEach(() => {
  fs.rmSync(root, { recursive: true });
  vi.useRealTimers();
});

/** Those of a workspace in which nothing was offered yet. */
function newOffers(): Offers {
  return new Offers(makeMemory() as never, makeMemory() as never);
}

test('a build is offered in a git repository alone, and how to install what it needs if that was not found', async () => {
  const offers = newOffers();
  await offers.offerToBuild(true);
  expect(around.asked).not.toHaveBeenCalled();
  fs.mkdirSync(path.join(root, '.git'));
  await offers.offerToBuild(true);
  expect(around.asked).toHaveBeenLastCalledWith(expect.any(String), 'Build', 'How It Works', 'Never Ask');
  await newOffers().offerToBuild(false);
  const text: unknown = expect.stringMatching(/on this machine, and needs the program submodel\.$/);
  expect(around.asked).toHaveBeenLastCalledWith(text, 'Build', 'How to Install', 'Never Ask');
});

test('a walkthrough that VS Code has opened is ticked, too', async () => {
  vi.useFakeTimers();
  setContext('isInstalled', true);
  followWalkthrough();
  around.tabs = [
    { label: 'Extension: submodel', input: undefined },
    { label: 'Walkthrough: submodel', input: {} }, // a file of that name
  ];
  around.tellOfTabs();
  vi.runAllTimers();
  expect(around.executed).not.toHaveBeenCalled();
  around.tabs = [{ label: 'Walkthrough: submodel', input: undefined }];
  around.tellOfTabs();
  vi.runAllTimers();
  expect(around.executed.mock.calls).toEqual([['setContext', 'submodel.isInstalled', true]]);
  await openWalkthrough();
  expect(around.executed.mock.calls).toContainEqual([
    'workbench.action.openWalkthrough',
    'submodel.submodel#start',
    false,
  ]);
});
