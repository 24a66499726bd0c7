import * as path from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';

import { watchBundles } from '../src/bundle/watch';

interface Event {
  readonly affectsConfiguration: (name: string) => boolean;
}

interface Around {
  made: string[]; // the bases that were watched, in their order
  ended: string[];
  patterns: string[];
  folders: string[];
  tellOfFolders: () => void;
  tellOfSettings: (event: Event) => void;
}

const around = vi.hoisted((): Around => ({
  made: [],
  ended: [],
  patterns: [],
  folders: ['/a'],
  tellOfFolders: () => undefined,
  tellOfSettings: () => undefined,
}));
vi.mock('vscode', () => {
  class Disposable {
    constructor(readonly dispose: () => void) {}
    static from(...all: readonly (Disposable | undefined)[]): Disposable {
      return new Disposable(() => {
        all.forEach((one) => {
          one?.dispose();
        });
      });
    }
  }
  return {
    Disposable,
    RelativePattern: class {
      constructor(
        readonly baseUri: string,
        readonly pattern: string,
      ) {}
    },
    Uri: { file: (folder: string) => folder },
    workspace: {
      get workspaceFolders() {
        return around.folders.map((fsPath) => ({ uri: { scheme: 'file', fsPath } }));
      },
      createFileSystemWatcher: ({ baseUri, pattern }: { baseUri: string; pattern: string }) => {
        around.made.push(baseUri);
        around.patterns.push(pattern);
        const event = (): undefined => undefined;
        const dispose = (): number => around.ended.push(baseUri);
        return { dispose, onDidCreate: event, onDidChange: event, onDidDelete: event };
      },
      onDidChangeConfiguration: (listener: typeof around.tellOfSettings) => {
        around.tellOfSettings = listener;
      },
      onDidChangeWorkspaceFolders: (listener: typeof around.tellOfFolders) => {
        around.tellOfFolders = listener;
      },
    },
  };
});

const ABOVE = path.join('/above', '.submodel');
const BELOW = path.join('/a/below', '.submodel');

let answer: ((folders: readonly string[]) => void)[]; // to each search, in their order
let tellOfBelow: () => void;

beforeEach(() => {
  Object.assign(around, { made: [], ended: [], patterns: [], folders: ['/a'] });
  answer = [];
});

function follow(): { readonly dispose: () => unknown } {
  const bundles = {
    repositoriesElsewhere: () => new Promise((resolve) => answer.push(resolve)),
    onDidFindBelow: (listener: () => void) => {
      tellOfBelow = listener;
    },
  };
  return watchBundles(bundles as never, () => undefined);
}

async function end(search: number, folders: readonly string[]): Promise<void> {
  answer[search]!(folders);
  await new Promise((resolve) => setTimeout(resolve, 0));
}

test('what is watched stays watched while the folders are searched again', async () => {
  const watching = follow();
  expect(around.made).toEqual(['/a']); // at once
  await end(0, ['/above']);
  tellOfBelow();
  await end(1, ['/above', '/a/below']);
  expect([around.made, around.ended]).toEqual([['/a', ABOVE, BELOW], []]);
  await watching.dispose();
  expect(around.ended).toEqual(['/a', ABOVE, BELOW]);
});

test('a search that ends after a newer one, or after all is over, changes nothing', async () => {
  const watching = follow();
  around.folders = ['/c'];
  around.tellOfFolders();
  await end(1, []);
  await end(0, ['/above']); // of the folder that was removed
  expect([around.made, around.ended]).toEqual([['/a', '/c'], ['/a']]);
  tellOfBelow();
  await watching.dispose();
  await end(2, ['/above']);
  expect(around.made).toEqual(['/a', '/c']);
});

test('a bundle is watched from when suggestions are turned on there', async () => {
  follow();
  await end(0, []); // they are off
  around.tellOfSettings({ affectsConfiguration: (name) => name === 'submodel.threads' });
  around.tellOfSettings({ affectsConfiguration: (name) => name === 'submodel.enabled' });
  expect(answer).toHaveLength(2);
  await end(1, ['/a/below']);
  expect(around.made).toEqual(['/a', BELOW]);
});

test('a folder tells of its bundle also if all of .submodel goes, which is one event', () => {
  follow();
  expect(around.patterns[0]?.split(/[{},]/)).toEqual(expect.arrayContaining(['.submodel', '.submodel/bundle']));
});
