import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import { Editor } from './setup/editor.mjs';
import { note } from './setup/figures.mjs';
import { findProcess } from './setup/processes.mjs';
import { BUILD_SETTINGS, CODE, keepBundle, makeRepository, makeWorkspace, TYPED } from './setup/workspaces.mjs';

const BUILDING_MS = 800_000; // minutes, where other work goes on beside
const BUILD = 'submodel: Build a Sub-model of This Workspace';

let server: CodeServer;
let editor: Editor;

beforeAll(async () => {
  server = await CodeServer.start('build', BUILD_SETTINGS);
});
afterAll(() => server.stop());
afterEach(() => editor.close());

test('a build from the palette shows its stages, and then its bundle is served', async () => {
  const repository = makeRepository('repository');
  editor = await Editor.open(server, repository);
  await editor.untilStatus(/not built/);
  const started = performance.now();
  await editor.run(BUILD);
  const stages = new Set<string>();
  const watch = async (): Promise<string[]> => {
    stages.add(/building: (.*)/.exec(await editor.status())?.[1] ?? '');
    if (stages.has('prune') && !fs.existsSync(path.join(repository, '.submodel', 'bundle'))) {
      await editor.screenshot('building');
    }
    return editor.notifications();
  };
  await editor.until(watch, (all) => all.some((text) => /sub-model is built/.test(text)), 'built bundle', BUILDING_MS);
  note('seconds of a build from the palette', Math.round((performance.now() - started) / 1000));
  expect([...stages].join(' ')).toMatch(/prune/);
  await editor.untilStatus(/submodel \d+M.*ready/);
  await editor.screenshot('built');
  keepBundle(path.join(repository, '.submodel', 'bundle'));

  await editor.openFile(path.join(repository, 'points.py'));
  await editor.goToEnd();
  await editor.type(TYPED);
  await editor.untilGhost();
});

test('a build gives way to the server, can be stopped, and says that it goes on another time', async () => {
  const repository = makeRepository('stopped');
  editor = await Editor.open(server, repository);
  await editor.untilStatus(/not built/);
  const since = Date.now();
  await editor.run(BUILD);
  await editor.untilStatus(/building: (?!building)/, BUILDING_MS);
  expect(os.getPriority(findProcess(server.pid, since, 'build', '--progress'))).toBe(
    os.constants.priority.PRIORITY_LOW,
  );
  const toast = editor.page
    .locator('.notifications-toasts .notification-list-item')
    .filter({ hasText: 'Building a sub-model' });
  await toast.hover();
  await toast.getByRole('button', { name: 'Cancel' }).click();
  await editor.untilNotification(/was stopped/, BUILDING_MS);
  await editor.untilStatus(/not built/);
});

test('a build that fails says why', async () => {
  const folder = makeWorkspace('too small', { 'points.py': CODE });
  editor = await Editor.open(server, folder);
  await editor.untilStatus(/ready/);
  await editor.run(BUILD);
  await editor.untilNotification(/too small: submodel: /, BUILDING_MS);
  await editor.untilStatus(/ready/);
});

test('an older bundle can be picked, and the new one again', async () => {
  const folder = makeWorkspace('older', { 'points.py': CODE });
  const older = path.join(folder, '.submodel', 'previous', 'older');
  fs.cpSync(fs.realpathSync(path.join(folder, '.submodel', 'bundle')), older, { recursive: true });
  editor = await Editor.open(server, folder);
  await editor.untilStatus(/ready/);
  for (const [label, served] of [
    ['Built ', older],
    ["The workspace's own", path.join(folder, '.submodel', 'bundle')],
  ]) {
    await editor.run('submodel: Choose or Roll Back the Bundle');
    await editor.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: label! }).click();
    const tooltip = (): Promise<string> => editor.tooltip();
    await editor.until(tooltip, (text) => text.includes(`Bundle ${served} Device`), `bundle ${served}`);
    await editor.untilStatus(/ready/);
  }
});
