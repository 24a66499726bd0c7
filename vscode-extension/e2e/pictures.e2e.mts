// Not a test: the picture of the documentation, of a repository that has a sub-model of its own.
// SUBMODEL_PICTURE='REPOSITORY|FILE|LINE|WHAT TO TYPE AT ITS END' npx vitest run --config vitest.e2e.config.mts pictures
// LINE counts from 1. A line of nothing but white space is best.

import * as path from 'node:path';
import { test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import { Editor } from './setup/editor.mjs';

const [repository = '', file = '', line = '', text = ''] = (process.env['SUBMODEL_PICTURE'] ?? '').split('|');

test.runIf(repository !== '')('a suggestion', async () => {
  const server = await CodeServer.start('pictures', {});
  const editor = await Editor.open(server, repository);
  await editor.untilStatus(/ready/);
  await editor.openFile(path.join(repository, file));
  await editor.goToEnd();
  await editor.goToLine(Number(line));
  await editor.type(text);
  await editor.untilGhost();
  await editor.page.mouse.move(700, 300);
  await editor.screenshot('suggestion');
  await editor.close();
  await server.stop();
});
