import { beforeEach, expect, test, vi } from 'vitest';

import { StatusModel } from '../src/status/model';
import { explainLast } from '../src/views/answers';

const around = vi.hoisted(() => ({ shown: [] as unknown[][], executed: [] as string[] }));
vi.mock('vscode', async () => ({
  EventEmitter: (await import('./doubles.js')).Emitter,
  commands: { executeCommand: (command: string) => Promise.resolve(void around.executed.push(command)) },
  window: {
    showInformationMessage: (...args: unknown[]) => {
      around.shown.push(args);
      return Promise.resolve(args[1]);
    },
    showWarningMessage: (...args: unknown[]) => {
      around.shown.push(args);
      return Promise.resolve(args[1]);
    },
  },
}));

beforeEach(() => {
  Object.assign(around, { shown: [], executed: [] });
});

test('without a server, the state is shown, with a button that helps', async () => {
  const status = new StatusModel();
  status.update({ phase: 'failed', problem: 'why' });
  await explainLast({} as never, status, undefined, {} as never);
  const text = "submodel can't answer: the server is not running: why.";
  expect(around.shown).toEqual([[text, 'Restart the Server']]);
  expect(around.executed).toEqual(['submodel.restart']);
  status.update({ phase: 'starting', problem: undefined });
  await explainLast({} as never, status, undefined, {} as never);
  expect(around.shown[1]).toEqual(["submodel can't answer: starting the server."]);
});

/** A controller whose server answers each request so. */
function answering(answer: () => Promise<unknown>): never {
  return { client: { sendRequest: answer } } as never;
}

test('of a server that stands still there is a message, with a button that helps', async () => {
  vi.useFakeTimers();
  try {
    const status = new StatusModel();
    const explaining = explainLast(
      answering(() => new Promise(() => undefined)),
      status,
      undefined,
      {} as never,
    );
    await vi.advanceTimersByTimeAsync(10_000);
    await explaining;
  } finally {
    vi.useRealTimers();
  }
  expect(around.shown).toEqual([['The server has not answered within 10 s.', 'Restart the Server']]);
  expect(around.executed).toEqual(['submodel.restart']);
});

test('of a server that fails there is a message, and of one that has no answer yet there is none', async () => {
  await explainLast(
    answering(() => Promise.reject(new Error('closed'))),
    new StatusModel(),
    undefined,
    {} as never,
  );
  expect(around.shown).toEqual([['submodel: closed']]);
  const pages: string[] = [];
  const show = (_title: string, text: string): void => void pages.push(text);
  await explainLast(
    answering(() => Promise.resolve({ decisions: [] })),
    new StatusModel(),
    undefined,
    { show } as never,
  );
  expect(pages[0]).toContain('no suggestion was requested yet');
});
