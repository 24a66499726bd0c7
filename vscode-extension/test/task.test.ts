import { expect, test, vi } from 'vitest';

import { registerTaskProvider } from '../src/build/task';

interface Pty {
  readonly onDidWrite: (listener: (text: unknown) => void) => void;
  readonly onDidClose: (listener: (code: unknown) => void) => void;
  readonly open: (size: undefined) => void;
}
interface Provider {
  readonly provideTasks: () => { readonly execution: { readonly open: () => Promise<Pty> } }[];
}

const registered = vi.hoisted((): { provider?: Provider } => ({}));
vi.mock('vscode', async () => ({
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
    ) {}
  },
  TaskPanelKind: {},
  TaskRevealKind: {},
  tasks: { registerTaskProvider: (_type: string, provider: Provider) => (registered.provider = provider) },
  workspace: {
    getConfiguration: () => ({ get: (_name: string, standard: unknown) => standard }),
    workspaceFolders: [{ name: 'a', uri: { scheme: 'file', fsPath: '/a' } }],
  },
}));
vi.mock('../src/executable/find', () => ({ findExecutable: () => Promise.resolve({ problem: 'It is nowhere.' }) }));

test('a task without the program says so and ends', async () => {
  registerTaskProvider({} as never);
  const pty = await registered.provider?.provideTasks()[0]?.execution.open();
  const heard: unknown[] = [];
  pty?.onDidWrite((text) => heard.push(text));
  pty?.onDidClose((code) => heard.push(code));
  pty?.open(undefined);
  expect(heard).toEqual(['submodel: It is nowhere.\r\n', 127]);
});
