import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import { Editor, UNASKED_MS } from './setup/editor.mjs';
import { CODE, makeWorkspace, replaceWithForeign, TYPED } from './setup/workspaces.mjs';

const PROMPTS = { 'security.workspace.trust.startupPrompt': 'never', 'security.workspace.trust.banner': 'never' };

let server: CodeServer;
let editor: Editor;

beforeAll(async () => {
  server = await CodeServer.start('trust', PROMPTS, { isTrusting: false });
});
afterAll(() => server.stop());
afterEach(() => editor.close());

test('nothing that an untrusted workspace names or holds is run', async () => {
  const folder = makeWorkspace('untrusted', { 'points.py': CODE });
  const ran = path.join(folder, 'ran');
  const trap = path.join(folder, '.venv', 'bin', 'submodel');
  fs.mkdirSync(path.dirname(trap), { recursive: true });
  fs.writeFileSync(trap, `#!/bin/sh\ntouch '${ran}'\necho submodel 9.9.9\n`, { mode: 0o755 });
  fs.mkdirSync(path.join(folder, '.vscode'));
  fs.writeFileSync(path.join(folder, '.vscode', 'settings.json'), JSON.stringify({ 'submodel.path': trap }));

  editor = await Editor.open(server, folder);
  await editor.untilStatus(/restricted/); // the user's own program would serve, but not a stranger's model
  await editor.openFile(path.join(folder, 'points.py'));
  await editor.goToEnd();
  await editor.type(TYPED);
  await editor.page.waitForTimeout(UNASKED_MS);
  expect(editor.server()).toBeUndefined();
  expect(fs.existsSync(ran)).toBe(false);

  fs.rmSync(path.join(folder, '.venv'), { recursive: true });
  fs.rmSync(path.join(folder, '.vscode'), { recursive: true });
  await editor.run('Manage Workspace Trust');
  await editor.page.getByText('You are in Restricted Mode').first().waitFor(); // or the test shows nothing
  await editor.page.getByRole('button', { name: 'Trust', exact: true }).click();
  await editor.untilStatus(/ready/);
});

test('a bundle that another account built is loaded once it is trusted', async () => {
  const folder = makeWorkspace('foreign', { 'points.py': CODE });
  replaceWithForeign(folder);
  editor = await Editor.open(server, folder);
  await editor.run('Manage Workspace Trust');
  await editor.page.getByText('You are in Restricted Mode').first().waitFor();
  await editor.page.getByRole('button', { name: 'Trust', exact: true }).click();
  await editor.untilNotification(/run `?submodel trust/);
  await editor.page.getByRole('button', { name: 'Trust This Bundle' }).click();
  await editor.untilStatus(/ready/);
});
