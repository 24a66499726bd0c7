import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import { Editor } from './setup/editor.mjs';
import { CODE, makeFolder, makeWorkspace, replaceBundle } from './setup/workspaces.mjs';

let server: CodeServer;
let editor: Editor;

beforeAll(async () => {
  server = await CodeServer.start('missing', {});
});
afterAll(() => server.stop());
afterEach(() => editor.close());

test('without a bundle there is one quiet offer', async () => {
  const folder = makeFolder('no bundle', { 'points.py': CODE, '.git/HEAD': 'ref: refs/heads/main\n' });
  editor = await Editor.open(server, folder);
  expect(await editor.untilNotification(/no sub-model of this workspace yet/)).toContain('on this machine');
  await editor.untilStatus(/not built/);
  await editor.screenshot('offer to build');

  await editor.dismissNotifications();
  await editor.page.reload();
  await editor.untilStatus(/not built/);
  await editor.run('submodel: Restart the Server'); // asks for a bundle once more
  await editor.untilNotification(/^submodel \d.* is installed: /);
  await editor.untilStatus(/not built/);
  expect(await editor.notifications()).toHaveLength(1); // the answer, and no offer
});

test('a missing program is reported, with what to do', async () => {
  const settings = JSON.stringify({ 'submodel.path': '/nowhere/submodel' });
  const folder = makeWorkspace('no program', { 'points.py': CODE, '.vscode/settings.json': settings });
  editor = await Editor.open(server, folder);
  expect(await editor.untilNotification(/\/nowhere\/submodel/)).toContain('there is no such program');
  await editor.untilStatus(/not installed/);
  await editor.screenshot('missing program');
});

test('a program that is another one is not taken', async () => {
  const settings = JSON.stringify({ 'submodel.path': '/bin/echo' });
  editor = await Editor.open(server, makeWorkspace('another program', { '.vscode/settings.json': settings }));
  expect(await editor.untilNotification(/\/bin\/echo/)).toContain('it answers --version with');
});

test('a setting that names no bundle is told in the status', async () => {
  const settings = JSON.stringify({ 'submodel.bundle': '/nowhere/bundle' });
  editor = await Editor.open(server, makeWorkspace('bad bundle', { '.vscode/settings.json': settings }));
  await editor.untilStatus(/failed.*\/nowhere\/bundle/);
});

test('a bundle that is damaged is reported once, and again when a user restarts the server', async () => {
  const folder = makeWorkspace('damaged', { 'points.py': CODE });
  replaceBundle(folder);
  fs.truncateSync(path.join(folder, '.submodel', 'bundle', 'onnx', 'model.onnx'), 1000);
  editor = await Editor.open(server, folder);
  await editor.untilNotification(/model\.onnx has 1,000 bytes/);
  await editor.untilStatus(/failed.*1,000 bytes/);
  await editor.dismissNotifications();
  for (const state of [/submodel: off/, /failed.*1,000 bytes/]) {
    await editor.run('submodel: Turn Suggestions On or Off');
    await editor.untilStatus(state);
  }
  expect((await editor.notifications()).filter((text) => !/off in all windows/.test(text))).toEqual([]);
  await editor.run('submodel: Restart the Server');
  await editor.untilNotification(/model\.onnx has 1,000 bytes/);
});
