import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import * as os from 'node:os';
import { expect, test } from 'vitest';

import { giveWay } from '../src/build/priority';

test('a child gives way, also across sessions', () => {
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
      expect(readFileSync(group, 'utf8')).toContain('nice 19');
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
