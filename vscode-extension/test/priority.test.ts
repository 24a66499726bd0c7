import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import * as os from 'node:os';
import { expect, test, vi } from 'vitest';

import { giveWay } from '../src/build/priority';

vi.mock(import('node:fs'), async (original) => {
  const fs = await original();
  return { ...fs, writeFileSync: vi.fn(fs.writeFileSync) };
});

const BUSY = 4_000; // ms that a busy machine may take

test('a child gives way, also across sessions, and though another program has just lowered one', async () => {
  vi.mocked(writeFileSync).mockImplementationOnce(() => {
    throw Object.assign(new Error('try again'), { code: 'EAGAIN' });
  });
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => undefined, 30_000)'], {
    detached: true,
    stdio: 'ignore',
  });
  try {
    const pid = child.pid ?? 0;
    giveWay(pid);
    const { PRIORITY_BELOW_NORMAL, PRIORITY_LOW } = os.constants.priority;
    expect(os.getPriority(pid)).toBe(process.platform === 'win32' ? PRIORITY_BELOW_NORMAL : PRIORITY_LOW);
    const group = `/proc/${pid}/autogroup`;
    if (existsSync(group)) {
      await vi.waitFor(() => {
        expect(readFileSync(group, 'utf8')).toContain('nice 19');
      }, BUSY);
    }
  } finally {
    child.kill();
  }
});

test('one that has ended is passed over', () => {
  expect(() => {
    giveWay(2 ** 22 + 1);
  }).not.toThrow();
});
