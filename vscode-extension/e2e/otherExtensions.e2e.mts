import * as path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import { Editor } from './setup/editor.mjs';
import { CODE, makeWorkspace, TYPED } from './setup/workspaces.mjs';

let server: CodeServer;
let editor: Editor;

beforeAll(async () => {
  server = await CodeServer.start('otherExtensions', {}, { beside: ['TabbyML.vscode-tabby'] });
});
afterAll(async () => {
  await editor.close();
  await server.stop();
});

test('another extension that may suggest inline is named', async () => {
  const folder = makeWorkspace('otherExtensions', { 'points.py': CODE });
  editor = await Editor.open(server, folder);
  await editor.untilStatus(/ready/);
  await editor.openFile(path.join(folder, 'points.py'));
  await editor.goToEnd();
  await editor.type(TYPED);
  await editor.untilGhost();
  await editor.untilNotification(/Tabby may suggest inline too/);
  expect(await editor.tooltip()).toContain('Tabby may suggest inline too');
});
