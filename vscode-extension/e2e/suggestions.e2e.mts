import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import type { Editor } from './setup/editor.mjs';
import { openPoints } from './setup/points.mjs';
import { TYPED } from './setup/workspaces.mjs';

let server: CodeServer;
let editor: Editor;

beforeAll(async () => {
  server = await CodeServer.start('suggestions', {});
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
  const [word] = /^\s*\w+/.exec(ghost) ?? [];
  expect(word).toBeDefined();
  await editor.press('Control+ArrowRight');
  const isRest = (rest: string): boolean => rest !== '' && rest !== ghost && ghost.endsWith(rest);
  await editor.until(() => editor.ghost(), isRest, 'the rest');
  expect(await editor.line()).toContain(TYPED + ghost);
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
  await editor.run('Trigger Inline Suggestion');
  await editor.untilGhost();
  await editor.run('submodel: End the Snooze');
  await editor.untilStatus(/ready/);
});

test('the pause on battery is a setting that a command turns over', async () => {
  await editor.run('submodel: Pause on Battery, or No Longer');
  await editor.untilNotification(/On battery, there are no suggestions/);
  await editor.run('submodel: Pause on Battery, or No Longer');
  await editor.untilNotification(/On battery, suggestions come sparingly/);
});
