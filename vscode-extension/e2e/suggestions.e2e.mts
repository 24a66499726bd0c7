import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import { Editor } from './setup/editor.mjs';
import { CODE, makeWorkspace } from './setup/workspaces.mjs';

let server: CodeServer;
let editor: Editor;

beforeAll(async () => {
  server = await CodeServer.start('suggestions', {});
});
afterAll(() => server?.stop());
beforeEach(async () => {
  const folder = makeWorkspace('arithmetic', { 'arithmetic.py': CODE });
  editor = await Editor.open(server, folder);
  await editor.openFile(`${folder}/arithmetic.py`);
  await editor.goToEnd();
  await editor.untilStatus(/ready/);
  await editor.type('def divide(left, right):\n    return ');
});
afterEach(() => editor?.close());

test('ghost text comes, and Tab takes it', async () => {
  const ghost = await editor.untilGhost();
  await editor.screenshot('ghost text');
  await editor.press('Tab');
  await editor.untilNoGhost();
  expect(await editor.line()).toContain(`return ${ghost}`.trimEnd());
  expect(await editor.untilStatus(/\d+ ms/)).toMatch(/submodel \d+M · \d+ ms, ready/);
});

test('a word of it is taken', async () => {
  const ghost = await editor.untilGhost();
  const [word] = /^\s*\w+/.exec(ghost) ?? [];
  expect(word).toBeDefined();
  await editor.press('Control+ArrowRight');
  await editor.until(
    () => editor.ghost(),
    (rest) => rest === ghost.slice(word!.length).trimEnd() || rest === ghost.slice(word!.length),
    'the rest',
  );
  expect(await editor.line()).toContain(`return ${word}`);
});

test('Escape dismisses it, and the file is as it was typed', async () => {
  await editor.untilGhost();
  await editor.press('Escape');
  await editor.untilNoGhost();
  expect((await editor.line()).trimEnd()).toBe('    return');
});
