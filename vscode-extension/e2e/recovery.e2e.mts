import * as process from 'node:process';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

import { CodeServer } from './setup/codeServer.mjs';
import type { Editor } from './setup/editor.mjs';
import { note } from './setup/figures.mjs';
import { openPoints } from './setup/points.mjs';
import { TYPED } from './setup/workspaces.mjs';

let server: CodeServer;
let editor: Editor;

beforeAll(async () => {
  server = await CodeServer.start('recovery', {});
});
afterAll(() => server.stop());
beforeEach(async () => {
  editor = await openPoints(server);
  await editor.type(TYPED);
  await editor.untilGhost();
});
afterEach(() => editor.close());

async function kill(): Promise<number> {
  const pid = await editor.until(
    () => Promise.resolve(editor.server()),
    (found) => found !== undefined,
    'server',
  );
  process.kill(pid!, 'SIGKILL');
  return pid!;
}

test('killed while typing, it comes back by itself, without a word', async () => {
  const seconds: number[] = [];
  for (let times = 0; times < 3; times++) {
    await editor.press('Escape');
    await editor.untilNoGhost();
    const pid = await kill();
    const killed = performance.now();
    await editor.typeUntilGhost('n');
    seconds.push(Math.round((performance.now() - killed) / 10) / 100);
    expect(editor.server()).not.toBe(pid);
    expect(await editor.notifications()).toEqual([]);
    await editor.press('Escape');
    await editor.press('Backspace');
  }
  note('seconds from kill -9 to the next suggestion', seconds);
});

test('killed again and again, it is left off and says so once', async () => {
  let last: number | undefined;
  const isGone = async (): Promise<boolean> => {
    const pid = editor.server();
    if (pid !== undefined && pid !== last) {
      last = pid;
      process.kill(pid, 'SIGKILL');
    }
    return /failed/.test(await editor.status());
  };
  await editor.until(isGone, (gone) => gone, 'surrender', 300_000);
  expect(await editor.untilNotification(/several times in a row/)).toContain('not started again');
  expect(await editor.notifications()).toHaveLength(1);
  await editor.run('submodel: Restart the Server');
  await editor.untilStatus(/ready/);
});
