import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { refusalFor, Suggestions } from '../src/completion/suggestions';
import { StatusModel } from '../src/status/model';

const around = vi.hoisted(() => ({ read: [] as string[] }));

vi.mock('vscode', async () => ({
  EventEmitter: (await import('./doubles.js')).Emitter,
  InlineCompletionTriggerKind: { Invoke: 0, Automatic: 1 },
  workspace: {
    getConfiguration: (section: string) => ({
      get: (name: string, standard: unknown) => {
        around.read.push(`${section}.${name}`);
        return standard;
      },
    }),
  },
}));

const DOCUMENT = { uri: { scheme: 'file' }, languageId: 'python' } as never;
const INLINE = 'editor.inlineSuggest.enabled';

let status: StatusModel;
let suggestions: Suggestions;
let shown: unknown[]; // latencies, as the status gets them

beforeEach(() => {
  vi.useFakeTimers();
  around.read = [];
  shown = [];
  status = new StatusModel();
  status.onDidChange(({ latencyMs }) => shown.push(latencyMs));
  suggestions = new Suggestions(status, undefined as never);
});
afterEach(() => {
  vi.useRealTimers();
});

/** Ask for a suggestion that comes after some milliseconds. */
async function ask(latencyMs: number): Promise<void> {
  const next = (): never => {
    vi.advanceTimersByTime(latencyMs);
    return Promise.resolve([{ insertText: 'x' }]) as never;
  };
  const token = { isCancellationRequested: false } as never;
  const answer = await suggestions.middleware(DOCUMENT, {} as never, { triggerKind: 1 } as never, token, next);
  expect(answer).toHaveLength(1);
}

test('the status hears of a suggestion once the editor has it, and of the newest one a second', async () => {
  let first = 0;
  suggestions.onFirstShown(() => (first += 1));
  await ask(20);
  expect([shown, first]).toEqual([[], 0]);
  vi.advanceTimersByTime(0);
  expect([shown, first]).toEqual([[20], 1]);
  await ask(30);
  await ask(40);
  vi.advanceTimersByTime(500);
  expect(shown).toEqual([20]);
  vi.advanceTimersByTime(500);
  expect([shown, first]).toEqual([[20, 40], 1]);
});

test('whether the editor suggests is asked by who explains, and not at each key', async () => {
  await ask(0);
  expect(around.read).not.toContain(INLINE);
  refusalFor(DOCUMENT, false);
  expect(around.read).toContain(INLINE);
});
