import { expect, test } from 'vitest';

import { CrashPolicy } from '../src/server/crashes';

test('the first time at once, then slower, then not any more', () => {
  const policy = new CrashPolicy();
  const delays = [0, 1, 2, 3, 4, 5].map((second) => policy.delayAfterCrash(second * 1000));
  expect(delays[0]).toBe(0);
  for (let crash = 1; crash < 5; crash++) {
    expect(delays[crash]).toBeGreaterThan(delays[crash - 1]!);
  }
  expect(delays[5]).toBeUndefined();
});

test('deaths of long ago do not count, nor those before the user has restarted it', () => {
  const policy = new CrashPolicy();
  for (let hour = 0; hour < 20; hour++) {
    expect(policy.delayAfterCrash(hour * 3_600_000)).toBe(0);
  }
  for (let crash = 0; crash < 9; crash++) {
    policy.delayAfterCrash(72_000_000);
  }
  policy.forget();
  expect(policy.delayAfterCrash(72_000_000)).toBe(0);
});
