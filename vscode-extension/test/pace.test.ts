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
