import { beforeEach, expect, test, vi } from 'vitest';

import { registerTaskProvider } from '../src/build/task';

interface Pty {
  readonly onDidWrite: (listener: (text: unknown) => void) => void;
  readonly onDidClose: (listener: (code: unknown) => void) => void;
  readonly open: (size: undefined) => void;
}
interface Provider {
  readonly provideTasks: () => {
    readonly problemMatchers: unknown;
    readonly execution: { readonly open: () => Promise<Pty> };
  }[];
}

const STATUS = { snapshot: { served: [] } };
const registered = vi.hoisted((): { provider?: Provider } => ({}));
const around = vi.hoisted(() => ({
  folder: '/a',
  base: undefined as string | undefined,
  found: {},
  terminals: [] as unknown[][],
  isOver: false,
}));
// A folder's own settings are seen by who asks for this folder's alone.
const baseOf = vi.hoisted(
  () =>
    (scope?: { readonly uri: { readonly fsPath: string } }): string | undefined =>
      scope?.uri.fsPath === around.folder ? around.base : undefined,
);
vi.mock('vscode', async () => ({
  Disposable: class {
    constructor(readonly dispose: () => void) {}
    static from(...all: readonly { dispose?: () => void }[]): object {
      return { dispose: () => all.forEach((one) => one.dispose?.()) };
    }
  },
  EventEmitter: (await import('./doubles.js')).Emitter,
  CustomExecution: class {
    constructor(readonly open: unknown) {}
  },
  Task: class {
    constructor(
      readonly definition: unknown,
      readonly scope: unknown,
      readonly name: string,
      readonly source: string,
      readonly execution: unknown,
      readonly problemMatchers: unknown,
    ) {}
  },
  TaskPanelKind: {},
  TaskRevealKind: {},
  tasks: { registerTaskProvider: (_type: string, provider: Provider) => (registered.provider = provider) },
  workspace: {
    getConfiguration: (_section: string, scope?: { readonly uri: { readonly fsPath: string } }) => ({
      get: (_name: string, standard: unknown) => baseOf(scope) ?? standard,
      inspect: () => ({ workspaceFolderValue: baseOf(scope) }),
    }),
    get workspaceFolders() {
      return [{ name: 'a', uri: { scheme: 'file', fsPath: around.folder } }];
    },
  },
}));
vi.mock('../src/executable/find', () => ({ findExecutable: () => Promise.resolve(around.found) }));
vi.mock('../src/build/terminal', () => ({
  BuildTerminal: function (...args: unknown[]) {
    around.terminals.push(args);
  },
  stopAll: () => {
    around.isOver = true;
  },
}));

beforeEach(() => {
  Object.assign(around, { folder: '/a', base: undefined, found: { problem: 'It is nowhere.' }, terminals: [] });
});

test('a task without the program says so and ends', async () => {
  registerTaskProvider(STATUS as never, {} as never);
  const pty = await registered.provider?.provideTasks()[0]?.execution.open();
  const heard: unknown[] = [];
  pty?.onDidWrite((text) => heard.push(text));
  pty?.onDidClose((code) => heard.push(code));
  pty?.open(undefined);
  expect(heard).toEqual(['submodel: It is nowhere.\r\n', 127]);
});

test('a task builds the repository whose bundle is served, else the folder', async () => {
  around.folder = '/r/packages/a';
  around.found = { executable: { command: 'submodel' } };
  const status = { snapshot: { served: [] as object[] } };
  registerTaskProvider(status as never, {} as never);
  const open = (): Promise<unknown> | undefined => registered.provider?.provideTasks()[0]?.execution.open();
  await open();
  status.snapshot.served = [{ folder: '/r/.submodel/bundle', workspaceFolder: '/r' }];
  await open();
  expect(around.terminals.map(([command, , cwd]) => [command, cwd])).toEqual([
    ['submodel', around.folder],
    ['submodel', '/r'],
  ]);
  expect(around.terminals.map(([, args]) => (args as string[])[1])).toEqual([around.folder, '/r']);
});

test('a folder of the workspace has its own base', async () => {
  Object.assign(around, { base: 'smollm2-135m', found: { executable: { command: 'submodel' } } });
  registerTaskProvider(STATUS as never, {} as never);
  await registered.provider?.provideTasks()[0]?.execution.open();
  expect((around.terminals[0]?.[1] as string[]).slice(0, 4)).toEqual(['build', '/a', '--base', 'smollm2-135m']);
});

test('what runs ends with the window, whoever has started it', () => {
  const tasks = registerTaskProvider(STATUS as never, {} as never);
  expect(around.isOver).toBe(false);
  tasks.dispose();
  expect(around.isOver).toBe(true);
});

test('VS Code asks for no problem matcher', () => {
  registerTaskProvider(STATUS as never, {} as never);
  expect(registered.provider?.provideTasks()[0]?.problemMatchers).toEqual([]);
});
