import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import { Editor } from './setup/editor.mjs';
import { note } from './setup/figures.mjs';
import { CODE, makeFolder, makeWorkspace, replaceWithNewBuild, TYPED } from './setup/workspaces.mjs';

const LONG = 20_000; // lines

let server: CodeServer;
let editor: Editor;

beforeAll(async () => {
  server = await CodeServer.start('files', {});
});
afterAll(() => server.stop());
afterEach(() => editor.close());

async function suggestIn(file: string): Promise<string> {
  await editor.untilStatus(/ready/);
  await editor.openFile(file);
  await editor.goToEnd();
  await editor.type(TYPED);
  return editor.untilGhost();
}

test('a path with spaces and letters of other scripts', async () => {
  const folder = makeWorkspace('Äpfel & 日本語 – 100 %', { 'größe ж.py': CODE });
  editor = await Editor.open(server, folder);
  expect(await suggestIn(path.join(folder, 'größe ж.py'))).not.toBe('');
});

/** When the served bundle was built, as the tooltip says. */
async function built(): Promise<string> {
  return /Built (.*) Bundle/.exec(await editor.tooltip())?.[1] ?? '';
}

/** Replace a bundle, as a build in a terminal does, and wait until it is noticed. The server stays. */
async function expectNewBuild(workspace: string): Promise<void> {
  const [before, pid] = [await built(), editor.server()];
  expect(before).not.toBe('');
  expect(pid).toBeDefined();
  replaceWithNewBuild(workspace);
  await editor.until(built, (now) => now !== '' && now !== before, 'a new build');
  expect(editor.server()).toBe(pid);
  await editor.untilStatus(/ready/);
}

test('a workspace of two folders, each with its bundle, which is noticed when it is built anew', async () => {
  const folders = ['left root', 'right root'].map((name) => makeWorkspace(name, { [`${name}.py`]: CODE }));
  const file = path.join(makeFolder('several', {}), 'several.code-workspace');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify({ folders: folders.map((folder) => ({ path: folder })) }));
  editor = await Editor.open(server, file);
  for (const folder of folders) {
    expect(await suggestIn(path.join(folder, `${path.basename(folder)}.py`))).not.toBe('');
  }
  for (const folder of folders) {
    await editor.openFile(path.join(folder, `${path.basename(folder)}.py`)); // which the tooltip is about
    await editor.until(
      () => editor.tooltip(),
      (text) => text.includes(folder),
      'tooltip of the open file',
    );
    await expectNewBuild(folder);
  }
});

test('switched off and on again, a folder that is off for itself stays off', async () => {
  const [on, off] = ['switched on', 'switched off'].map((name) => makeWorkspace(name, { [`${name}.py`]: CODE }));
  const settings = path.join(off!, '.vscode', 'settings.json');
  fs.mkdirSync(path.dirname(settings));
  fs.writeFileSync(settings, '{"submodel.enabled": false}');
  const file = path.join(makeFolder('switches', {}), 'switches.code-workspace');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify({ folders: [on, off].map((folder) => ({ path: folder })) }));
  editor = await Editor.open(server, file);
  await editor.untilStatus(/ready/);
  await editor.run('submodel: Turn Suggestions On or Off');
  await editor.untilStatus(/submodel: off/);
  await editor.run('submodel: Turn Suggestions On or Off');
  await editor.untilStatus(/, ready/);
  expect(JSON.parse(fs.readFileSync(settings, 'utf8'))).toEqual({ 'submodel.enabled': false });
});

test('a folder of a repository is served by the bundle above it', async () => {
  const repository = makeWorkspace('above', { 'src/points.py': CODE });
  const folder = path.join(repository, 'src');
  editor = await Editor.open(server, folder);
  expect(await suggestIn(path.join(folder, 'points.py'))).not.toBe('');
});

test('line ends of Windows stay', async () => {
  const folder = makeWorkspace('windows', { 'points.py': CODE.replaceAll('\n', '\r\n') });
  editor = await Editor.open(server, folder);
  const ghost = await suggestIn(path.join(folder, 'points.py'));
  await editor.press('Tab');
  await editor.untilNoGhost();
  await editor.press('Control+S');
  const read = (): Promise<string> => Promise.resolve(fs.readFileSync(path.join(folder, 'points.py'), 'utf8'));
  // VS Code in the browser saves by itself, too, perhaps before Tab.
  const text = await editor.until(read, (now) => now.endsWith(ghost), 'saved file');
  expect(text).toBe(`${CODE.replaceAll('\n', '\r\n')}${TYPED}${ghost}`);
});

test(`a file of ${LONG} lines`, async () => {
  const lines = Array.from(
    { length: LONG },
    (_, i) => `point_${i} = make_point(name="${i}", left=${i}, right=${i + 1})\n`,
  );
  const folder = makeWorkspace('long', { 'long.py': `${lines.join('')}${CODE}` });
  editor = await Editor.open(server, folder);
  await suggestIn(path.join(folder, 'long.py'));
  note(`status after a suggestion at the end of ${LONG} lines`, await editor.untilStatus(/\d+ ms/));
});
