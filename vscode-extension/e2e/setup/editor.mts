// The editor as a person meets it: keys in, what the screen shows out. It waits for conditions, never for time alone.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { type Browser, chromium, errors, type Page } from 'playwright-core';
import { afterAll } from 'vitest';

import type { CodeServer } from './codeServer.mjs';
import { CHROMIUM, PICTURES } from './places.mjs';
import { findServer } from './processes.mjs';

const PATIENCE_MS = Number(process.env['SUBMODEL_E2E_PATIENCE_MS'] ?? 120_000);
const TRY_MS = 10_000; // for what keys open, before they are pressed again
export const UNASKED_MS = 3_000; // in which what nobody asked for would have come
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--headless=new',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
];

let browser: Browser | undefined; // one for the tests of a file, each of which has a profile of its own in it
afterAll(() => browser?.close());

export class Editor {
  private constructor(
    readonly page: Page,
    private readonly codeServer: number, // its process
    private readonly openedAt: number,
  ) {}

  /** Open a folder, or a `.code-workspace` file. */
  static async open(server: CodeServer, folder: string): Promise<Editor> {
    if (CHROMIUM === undefined) {
      throw new Error('There is no chromium; see vscode-extension/e2e/install.sh.');
    }
    const openedAt = Date.now();
    if (browser?.isConnected() !== true) {
      browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    }
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.setDefaultTimeout(PATIENCE_MS);
    const kind = folder.endsWith('.code-workspace') ? 'workspace' : 'folder';
    await page.goto(`${server.url}/?${kind}=${encodeURIComponent(folder)}`, { waitUntil: 'domcontentloaded' });
    await page.waitForSelector('.monaco-workbench');
    const editor = new Editor(page, server.pid, openedAt);
    if (kind === 'workspace') {
      await editor.untilFolders();
    }
    return editor;
  }

  /** The process of this editor's server. */
  server(): number | undefined {
    return findServer(this.codeServer, this.openedAt);
  }

  async close(): Promise<void> {
    await this.page.close(); // and its profile
  }

  /** Now and then code-server reads a `.code-workspace` file as an empty one when it starts; then reload, as one would. */
  private async untilFolders(): Promise<void> {
    const row = this.page.locator('.explorer-folders-view .monaco-list-row').first();
    for (let attempt = 1; ; attempt++) {
      try {
        await row.waitFor({ timeout: attempt < 4 ? 10_000 : PATIENCE_MS });
        return;
      } catch (error) {
        if (attempt === 4) {
          throw error;
        }
        console.log(`The workspace has no folders yet; reload ${attempt}.`);
        await this.page.reload({ waitUntil: 'domcontentloaded' });
        await this.page.waitForSelector('.monaco-workbench');
      }
    }
  }

  /** What the status bar entry says: `submodel 81M, ready`. */
  async status(): Promise<string> {
    const entry = this.page.locator('.statusbar-item[id*="submodel.status"] [aria-label]').first();
    return (await entry.count()) === 0 ? '' : ((await entry.getAttribute('aria-label')) ?? '');
  }

  /** What the status bar entry tells when the mouse rests on it. */
  async tooltip(): Promise<string> {
    const tooltip = this.page.locator('.workbench-hover').filter({ hasText: 'Device' });
    return this.insist('The tooltip does not open', async () => {
      await this.page.mouse.move(600, 300);
      await this.page.locator('.statusbar-item[id*="submodel.status"]').hover({ timeout: TRY_MS });
      await tooltip.waitFor({ timeout: TRY_MS });
      return (await tooltip.innerText({ timeout: TRY_MS })).replaceAll(/\s+/g, ' ');
    });
  }

  async untilStatus(wanted: RegExp, patienceMs = PATIENCE_MS): Promise<string> {
    return this.until(
      () => this.status(),
      (status) => wanted.test(status),
      `status ${wanted}`,
      patienceMs,
    );
  }

  /** The texts of the notifications on the screen. */
  async notifications(): Promise<string[]> {
    return this.page.locator('.notifications-toasts .notification-list-item-message').allTextContents();
  }

  async untilNotification(wanted: RegExp, patienceMs = PATIENCE_MS): Promise<string> {
    const all = await this.until(
      () => this.notifications(),
      (texts) => texts.some((text) => wanted.test(text)),
      `notification ${wanted}`,
      patienceMs,
    );
    return all.find((text) => wanted.test(text))!;
  }

  /** Run a command of the palette by its whole title; the palette opens anew until the workbench has registered it. */
  async run(title: string): Promise<void> {
    const input = this.page.locator('.quick-input-widget input.input');
    const row = this.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: title }).first();
    await this.insist(`The palette does not list "${title}"`, async () => {
      await this.press('F1');
      await input.waitFor({ timeout: TRY_MS });
      await input.fill(`>${title}`, { timeout: TRY_MS });
      await row.waitFor({ timeout: TRY_MS });
    });
    await row.click();
  }

  /** Open a file by its whole path: without an index of the files, which this code-server lacks. */
  async openFile(file: string): Promise<void> {
    const name = path.basename(file);
    const input = this.page.locator('.quick-input-widget input.input');
    const row = this.page.locator('.quick-input-list .monaco-list-row').filter({ hasText: name }).first();
    await this.insist(`The list of files does not show "${name}"`, async () => {
      await this.press('Control+P');
      await input.waitFor({ timeout: TRY_MS });
      await input.fill(file, { timeout: TRY_MS });
      await row.waitFor({ timeout: TRY_MS });
    });
    await row.click();
    await this.page.waitForSelector(`.tab.active[data-resource-name="${name}"]`);
    await this.page.waitForSelector('.editor-instance .monaco-editor .view-line');
  }

  /** Put the cursor at the end of the file. */
  async goToEnd(): Promise<void> {
    await this.page.locator('.editor-instance .monaco-editor .view-lines').first().click();
    await this.page.keyboard.press('Control+End');
  }

  /** Put the cursor at the end of a line, counted from 1. */
  async goToLine(line: number): Promise<void> {
    await this.page.keyboard.press('Control+G');
    const input = this.page.locator('.quick-input-widget input.input');
    await input.waitFor();
    await input.fill(`:${line}`);
    await this.press('Enter');
    await input.waitFor({ state: 'hidden' });
    await this.press('End');
  }

  async type(text: string): Promise<void> {
    await this.page.keyboard.type(text, { delay: 30 });
  }

  async press(key: string): Promise<void> {
    await this.page.keyboard.press(key);
  }

  /** The grey text, "" where there is none. */
  async ghost(): Promise<string> {
    const parts = await this.page.$$eval('.editor-instance [class*="ghost-text-decoration"]', (nodes) =>
      nodes.map((node) => node.textContent),
    );
    return plain(parts.join(''));
  }

  async untilGhost(patienceMs = PATIENCE_MS): Promise<string> {
    return this.until(
      () => this.ghost(),
      (text) => text !== '',
      'ghost text',
      patienceMs,
    );
  }

  async untilNoGhost(): Promise<void> {
    await this.until(
      () => this.ghost(),
      (text) => text === '',
      'no ghost text',
    );
  }

  /** The lines on the screen, with the ghost text within them, but without whole lines of it. */
  async lines(): Promise<string[]> {
    const lines = await this.page.$$eval('.editor-instance .view-lines > .view-line', (nodes) =>
      nodes
        .map((node) => ({
          top: parseFloat((node as HTMLElement).style.top),
          text: node.textContent,
        }))
        .sort((left, right) => left.top - right.top)
        .map(({ text }) => text),
    );
    return lines.map(plain);
  }

  /** The last of them. */
  async line(): Promise<string> {
    return (await this.lines()).at(-1) ?? '';
  }

  /** What a person does after typing: wait for the grey text, type on if none comes. Each try is longer: the next ends its request. */
  async typeUntilGhost(character: string, patienceMs = PATIENCE_MS): Promise<string> {
    const end = Date.now() + patienceMs;
    for (let tryMs = 500; Date.now() < end; tryMs = Math.min(2 * tryMs, 10_000)) {
      await this.type(character);
      for (const endOfTry = Date.now() + tryMs; Date.now() < endOfTry;) {
        const ghost = await this.ghost();
        if (ghost !== '') {
          return ghost;
        }
        await this.page.waitForTimeout(100);
      }
      await this.press('Backspace');
    }
    return this.untilGhost(1);
  }

  /** Try again and again. A workbench that still starts, or is busy, may lose keys and moves of the mouse. */
  private async insist<T>(complaint: string, attempt: () => Promise<T>): Promise<T> {
    for (const end = Date.now() + PATIENCE_MS; ;) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof errors.TimeoutError) || Date.now() > end) {
          throw error;
        }
        console.log(`${complaint} yet; try again.`);
        if (await this.page.locator('.quick-input-widget').isVisible()) {
          await this.press('Escape');
        }
      }
    }
  }

  /** Close what pops up. */
  async dismissNotifications(): Promise<void> {
    await this.run('Notifications: Clear All Notifications');
  }

  async screenshot(name: string): Promise<void> {
    fs.mkdirSync(PICTURES, { recursive: true });
    await this.page.screenshot({ path: path.join(PICTURES, `${name}.png`) });
  }

  async until<T>(
    ask: () => Promise<T>,
    isGood: (value: T) => boolean,
    what: string,
    patienceMs = PATIENCE_MS,
  ): Promise<T> {
    const end = Date.now() + patienceMs;
    for (;;) {
      const value = await ask();
      if (isGood(value)) {
        return value;
      }
      if (Date.now() > end) {
        await this.screenshot(`missed ${what.replaceAll(/[^\w ]/g, '')}`);
        throw new Error(`No ${what} within ${patienceMs / 1000} s; the last was ${JSON.stringify(value)}.`);
      }
      await this.page.waitForTimeout(100);
    }
  }
}

/** The editor sets no-break spaces and middle dots for spaces. */
function plain(text: string): string {
  return text.replaceAll(/[\u00a0\u00b7]/g, ' ').replaceAll('\u200c', '');
}
