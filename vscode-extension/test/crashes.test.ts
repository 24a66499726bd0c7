import { expect, test } from 'vitest';

import { CrashPolicy } from '../src/server/crashes';

const MINUTE_MS = 60_000;

test.each([
  ['dies at once', 0],
  ['hangs at its start and is ended after two minutes', 2 * MINUTE_MS],
])('one that %s: at once, then slower, then not any more', (_, livedMs) => {
  const policy = new CrashPolicy();
  const delays = [0, 1, 2, 3, 4, 5].map(() => policy.delayAfterCrash(livedMs));
  expect(delays[0]).toBe(0);
  for (let crash = 1; crash < 5; crash++) {
    expect(delays[crash]).toBeGreaterThan(delays[crash - 1]!);
  }
  expect(delays[5]).toBeUndefined();
});

test('deaths before a server that lived long do not count, nor those before the user has restarted it', () => {
  const policy = new CrashPolicy();
  for (let times = 0; times < 20; times++) {
    expect(policy.delayAfterCrash(60 * MINUTE_MS)).toBe(0);
  }
  for (let crash = 0; crash < 9; crash++) {
    policy.delayAfterCrash(0);
  }
  expect(policy.delayAfterCrash(60 * MINUTE_MS)).toBe(0);
  policy.delayAfterCrash(0);
  policy.forget();
  expect(policy.delayAfterCrash(0)).toBe(0);
});
