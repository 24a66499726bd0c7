// Completes code in a notebook's last cell, in headless Chromium: node jupyterlab.mjs ADDRESS CHROMIUM PICTURE.png < {"typed": text}
// Prints {"shown": the grey text}. It is accepted with Tab, and the notebook is saved.
import { readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const [address, executablePath, picture] = process.argv.slice(2);
const { typed } = JSON.parse(readFileSync(0, 'utf8'));
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--headless=new', '--no-first-run', '--disable-background-networking'],
});
const page = await browser.newPage({ viewport: { width: 820, height: 330 } });
try {
  page.setDefaultTimeout(300_000);
  await page.goto(address);
  const cell = page.locator('.jp-Notebook .jp-CodeCell .cm-content').last();
  await cell.waitFor();
  await cell.click();
  await page.keyboard.press('Control+End');
  await page.keyboard.type(typed, { delay: 30 });
  const grey = page.locator('.jp-GhostText').first();
  // JupyterLab waits 15 seconds for a suggestion. The first takes longer on a slow machine: the extension loads LiteLLM then.
  for (let tries = 0; tries < 30; tries++) {
    if (await grey.waitFor({ timeout: 20_000 }).then(() => true, () => false)) break;
    await page.keyboard.press('Backspace');
    await page.keyboard.type(typed.at(-1));
  }
  await grey.waitFor({ timeout: 1_000 });
  const shown = await grey.textContent();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: picture });
  await page.keyboard.press('Tab');
  const text = typed + shown;
  await page.waitForFunction((text) => [...document.querySelectorAll('.cm-content')].at(-1).innerText.includes(text), text);
  await page.keyboard.press('Control+s');
  await page.waitForFunction(() => document.querySelector('.jp-mod-dirty') === null);
  process.stdout.write(JSON.stringify({ shown }));
} catch (error) {
  await page.screenshot({ path: picture }); // of what is there instead
  throw error;
} finally {
  await browser.close();
}
