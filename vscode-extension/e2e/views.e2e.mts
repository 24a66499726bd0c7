import * as fs from 'node:fs';
import * as path from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import { Editor } from './setup/editor.mjs';
import { note } from './setup/figures.mjs';
import { CODE, makeWorkspace } from './setup/workspaces.mjs';

const PAGE = '<!doctype html><html><head><title>r</title></head><body><h1>Base and sub-model</h1></body></html>';

let server: CodeServer;
let editor: Editor; // one for all: these tests look at what it shows, and type nothing into a file

beforeAll(async () => {
  server = await CodeServer.start('views', {});
  const folder = makeWorkspace('views', { 'points.py': CODE });
  fs.writeFileSync(path.join(folder, '.submodel', 'report.html'), PAGE);
  editor = await Editor.open(server, folder);
  await editor.untilStatus(/ready/);
});
afterAll(async () => {
  await editor.close();
  await server.stop();
});
afterEach(async () => {
  await editor.press('Escape');
  await editor.run('View: Close All Editors');
  const pages = editor.page.locator('iframe.webview');
  await editor.until(
    () => pages.count(),
    (count) => count === 0,
    'end of the pages',
  );
});

test('the running extensions say how long its activation took', async () => {
  await editor.run('Show Running Extensions');
  const row = editor.page.locator('.runtime-extensions-editor .extension').filter({ hasText: 'submodel' });
  await row.waitFor();
  const time = await row.locator('.activation-time').textContent();
  expect(time).toMatch(/\d+ms/);
  note('activation', time!);
});

test('the walkthrough leads from the installation to the report', async () => {
  await editor.run('submodel: Get Started');
  const page = editor.page.locator('.gettingStartedContainer');
  for (const step of ['Install submodel', 'Build on your repository', 'See the first suggestion', 'Read the report']) {
    await page.getByText(step, { exact: true }).first().waitFor();
  }
  await editor.press('Control+B');
  await page.locator('.step-container.expanded, .getting-started-step.expanded').first().waitFor();
  const isTicked = (): Promise<number> => page.locator('.codicon-getting-started-step-checked.complete').count();
  await editor.until(isTicked, (count) => count >= 2, 'ticks'); // submodel is there, and so is a bundle
  const beside = editor.page.frameLocator('iframe.webview').frameLocator('#active-frame');
  await beside.getByText('uv tool install').waitFor();
  await editor.screenshot('walkthrough');
});

test('the report opens in a tab', async () => {
  await editor.run('submodel: Open the Report');
  const inside = editor.page.frameLocator('iframe.webview').frameLocator('#active-frame');
  await inside.getByText('Base and sub-model').waitFor();
});

test.each([
  ['submodel: Explain the Last Suggestion', 'no suggestion was requested yet'],
  ['submodel: Show Statistics', 'accepted characters'],
])('%s: a page with the answer of the server', async (title, words) => {
  await editor.run(title);
  const page = editor.page.frameLocator('iframe.webview').frameLocator('#active-frame');
  await page.getByText(words).first().waitFor();
});

test('the menu and the tooltip tell the state', async () => {
  await editor.page.locator('.statusbar-item[id*="submodel.status"]').click();
  await editor.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: 'Snooze' }).waitFor();
  await editor.press('Escape');
  expect(await editor.tooltip()).toMatch(/smollm2-135m, \d+M parameters/);
  await editor.screenshot('tooltip');
});
