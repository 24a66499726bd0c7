import { expect, test } from 'vitest';

import { Pace } from '../src/build/pace';

test('an update begins a minute after the last key, and goes on ten seconds after one', () => {
  let now = 0;
  const pace = new Pace(() => now);
  expect([pace.mayBegin(), pace.mayGoOn()]).toEqual([false, false]); // the window has just opened
  now = 9_999;
  expect(pace.mayGoOn()).toBe(false);
  now = 10_000;
  expect([pace.mayBegin(), pace.mayGoOn()]).toEqual([false, true]);
  now = 60_000;
  expect(pace.mayBegin()).toBe(true);
  pace.noteKey();
  expect([pace.mayBegin(), pace.mayGoOn()]).toEqual([false, false]);
});

test('waking the machine counts as a key', () => {
  let now = 0;
  const pace = new Pace(() => now);
  for (now = 5_000; now <= 60_000; now += 5_000) {
    pace.noteLook();
  }
  expect(pace.mayBegin()).toBe(true);
  now += 3_600_000;
  pace.noteLook();
  expect([pace.mayBegin(), pace.mayGoOn()]).toEqual([false, false]);
});

test('a clock that is set back holds nothing up', () => {
  let now = 3_600_000;
  const pace = new Pace(() => now);
  pace.noteStill(true);
  now = 0;
  pace.noteLook();
  expect([pace.mayBegin(), pace.mayGoOn()]).toEqual([false, false]); // somebody has set it
  now = 60_000;
  expect([pace.mayBegin(), pace.mayGoOn()]).toEqual([true, true]);
  now = 900_000;
  expect(pace.isStillTooLong()).toBe(true);
});

test('an update that stands still for a quarter of an hour ends', () => {
  let now = 0;
  const pace = new Pace(() => now);
  pace.noteStill(true);
  now = 899_999;
  pace.noteStill(true);
  expect(pace.isStillTooLong()).toBe(false);
  now = 900_000;
  expect(pace.isStillTooLong()).toBe(true);
  pace.noteStill(false);
  expect(pace.isStillTooLong()).toBe(false);
});
