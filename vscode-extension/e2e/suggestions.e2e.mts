import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import { type Editor, UNASKED_MS } from './setup/editor.mjs';
import { OUT, REPOSITORY } from './setup/places.mjs';
import { openPoints } from './setup/points.mjs';
import { TYPED } from './setup/workspaces.mjs';

/** Functions of two lines, of which the last has none yet. The small model repeats a tab more surely than spaces. */
const FUNCTIONS = `${['first', 'second', 'third', 'fourth']
  .map((name) => `function ${name}(shape) {\n\tconst area = shape.width * shape.height;\n\treturn area;\n}\n\n`)
  .join('')}function fifth(shape) {\n\n}\n`;
const EMPTY_LINE = 22; // counted from 1

/** Functions of two branches, of which the last has one. */
const BRANCHES = ['first', 'second', 'third', 'fourth', 'fifth']
  .map(
    (name) =>
      `function ${name}(shape) {\n\tif (shape.isFlat) {\n\t\tarea = shape.width;\n\t} else {\n\t\tarea = shape.height;\n\t}\n}\n`,
  )
  .join('\n')
  .replace(/\n\t\} else[^]{0,60}$/, '\n\t');

let server: CodeServer;
let editor: Editor;

beforeAll(async () => {
  server = await CodeServer.start('suggestions', {});
  const page = fs.readFileSync(path.join(REPOSITORY, 'docs', 'editors.md'), 'utf8');
  const [, keys = ''] = /`keybindings.json`:\n\n```json\n(.*?)```/s.exec(page) ?? [];
  fs.writeFileSync(path.join(server.root, 'data', 'User', 'keybindings.json'), keys);
});
afterAll(() => server.stop());
beforeEach(async () => {
  editor = await openPoints(server);
});
afterEach(() => editor.close());

test('ghost text comes, and Tab takes it', async () => {
  await editor.type(TYPED);
  const ghost = await editor.untilGhost();
  await editor.screenshot('ghost text');
  await editor.press('Tab');
  await editor.untilNoGhost();
  expect(await editor.line()).toContain(TYPED + ghost);
  expect(await editor.untilStatus(/\d+ ms/)).toMatch(/submodel \d+M · \d+ ms, ready/);
});

test('a word of it is taken', async () => {
  await editor.type(TYPED);
  const ghost = await editor.untilGhost();
  const [word = ''] = /^(\w+|\W+)/.exec(ghost) ?? [];
  await editor.press('Control+ArrowRight');
  await editor.until(
    () => editor.ghost(),
    (rest) => rest === ghost.slice(word.length) && rest !== '',
    'the rest',
  );
  await editor.press('Escape');
  await editor.untilNoGhost();
  expect(await editor.line()).toBe(TYPED + word);
});

test('a line of it is taken, by the key of docs/editors.md', async () => {
  const file = path.join(OUT, 'workspaces', 'points', 'functions.js');
  fs.writeFileSync(file, FUNCTIONS);
  await editor.openFile(file);
  await editor.goToLine(EMPTY_LINE);
  await editor.press('Tab');
  const first = await editor.untilGhost();
  await editor.press('Control+Shift+ArrowRight');
  const isTaken = (lines: string[]): boolean => lines.at(-4)?.trim() === first; // the screen holds the last lines
  await editor.until(() => editor.lines(), isTaken, 'the first line in the text');
  const second = await editor.untilGhost(); // it may be drawn later than the line that was taken
  expect((await editor.lines()).at(-3)?.trim()).toBe(second.trim());
  await editor.press('Escape');
  await editor.untilNoGhost();
  const left = (await editor.lines()).slice(-4).map((line) => line.trim());
  expect(left).toEqual([first, '', '}', '']);
});

test('a line that leaves its block is moved to where it belongs', async () => {
  const file = path.join(OUT, 'workspaces', 'points', 'branches.js');
  fs.writeFileSync(file, BRANCHES);
  await editor.openFile(file);
  await editor.goToEnd();
  await editor.press('Tab'); // as far in as the line above: this editor does not indent by itself
  expect(await editor.untilGhost()).toBe('} else {');
  await editor.screenshot('a line that leaves its block');
  await editor.press('Tab');
  await editor.untilNoGhost();
  expect(await editor.line()).toBe('    } else {');
});

test('Escape dismisses it, and the file is as it was typed', async () => {
  await editor.type(TYPED);
  await editor.untilGhost();
  await editor.press('Escape');
  await editor.untilNoGhost();
  expect(await editor.line()).toBe(TYPED);
});

test('turned off, there is no server; turned on, there are suggestions', async () => {
  await editor.run('submodel: Turn Suggestions On or Off');
  await editor.untilStatus(/submodel: off/);
  await editor.until(
    () => Promise.resolve(editor.server()),
    (pid) => pid === undefined,
    'end of the server',
  );
  await editor.run('submodel: Turn Suggestions On or Off');
  await editor.untilStatus(/ready/);
  await editor.goToEnd();
  await editor.type(TYPED);
  await editor.untilGhost();
});

test('snoozed, nothing comes by itself, but it does when asked for', async () => {
  await editor.run('submodel: Snooze Suggestions');
  await editor.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: '30 minutes' }).click();
  await editor.untilStatus(/snoozed until/);
  await editor.goToEnd();
  await editor.type(TYPED);
  await editor.page.waitForTimeout(UNASKED_MS);
  expect(await editor.ghost()).toBe('');
  await editor.run('Trigger Inline Suggestion');
  await editor.untilGhost();
  await editor.run('submodel: End the Snooze');
  await editor.untilStatus(/ready/);
});
