import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { followCursor } from '../src/completion/cursor';
import { type CursorPlace, RestingCursor } from '../src/completion/restingCursor';

const around = vi.hoisted(() => ({
  moved: undefined as ((editor: object) => void) | undefined,
  selected: undefined as ((event: { readonly textEditor: object }) => void) | undefined,
  active: undefined as object | undefined,
}));
vi.mock('vscode', () => ({
  Disposable: { from: () => undefined },
  languages: { match: () => 10 },
  window: {
    onDidChangeActiveTextEditor: (listener: (editor: object) => void) => (around.moved = listener),
    onDidChangeTextEditorSelection: (listener: typeof around.selected) => (around.selected = listener),
    get activeTextEditor() {
      return around.active;
    },
  },
  workspace: { getConfiguration: () => ({ get: (_: string, standard: unknown) => standard }) },
}));

let sent: number[] = [];
const at = (line: number, version = 1, uri = 'file:///a.py'): CursorPlace => ({ uri, version, line, character: 0 });

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
});
afterEach(() => {
  vi.useRealTimers();
});

function follow(): RestingCursor {
  return new RestingCursor(({ line }) => sent.push(line));
}

test('where the cursor comes to rest is sent once, and nothing on the way there', () => {
  const cursor = follow();
  for (const line of [1, 2, 3]) {
    cursor.moved(at(line));
    vi.advanceTimersByTime(50);
  }
  expect(sent).toEqual([]);
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([3]);
});

test('a move that came with a change of the document is typing', () => {
  const cursor = follow();
  cursor.moved(at(1));
  cursor.moved(at(2, 2));
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([]);
  cursor.moved(at(7, 2));
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([7]);
});

test('another document is no typing, whatever its version', () => {
  const cursor = follow();
  cursor.moved(at(1));
  cursor.moved(at(9, 5, 'file:///b.py'));
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([9]);
});

test('nothing is sent after the end', () => {
  const cursor = follow();
  cursor.moved(at(1));
  cursor.dispose();
  vi.advanceTimersByTime(1000);
  expect(sent).toEqual([]);
});

const document = { uri: 'file:///a.py', version: 3, languageId: 'python' };

/** What the server is sent from now on. */
function followEditors(): unknown[] {
  const params: unknown[] = [];
  const client = {
    code2ProtocolConverter: { asUri: String },
    sendNotification: (_method: string, value: unknown) => Promise.resolve(void params.push(value)),
  };
  followCursor({ client } as never, { snapshot: {}, onDidChange: () => undefined } as never);
  return params;
}

test('the server gets the place, and no version, which it never reads', () => {
  const params = followEditors();
  around.moved?.({ document, selection: { active: { line: 1, character: 2 } } });
  vi.advanceTimersByTime(1000);
  expect(params).toEqual([{ textDocument: { uri: 'file:///a.py' }, position: { line: 1, character: 2 } }]);
});

test('the cursor of the other half of a split editor is not where the user is', () => {
  const params = followEditors();
  const [half, other] = [1, 9].map((line) => ({ document, selection: { active: { line, character: 0 } } }));
  around.active = half;
  for (const textEditor of [half, other]) {
    around.selected?.({ textEditor: textEditor ?? {} });
  }
  vi.advanceTimersByTime(1000);
  expect(params).toEqual([{ textDocument: { uri: 'file:///a.py' }, position: { line: 1, character: 0 } }]);
});
