import { expect, test } from 'vitest';

import { within } from '../src/timeLimit';

test('what comes in time is the value, and its failure a failure', async () => {
  expect(await within(Promise.resolve(7), 60_000)).toBe(7);
  await expect(within(Promise.reject(new Error('no')), 60_000)).rejects.toThrow('no');
});

test('what never comes is not waited for, and what fails late disturbs nobody', async () => {
  expect(await within(new Promise(() => undefined), 1)).toBeUndefined();
  let fail: (error: Error) => void = () => undefined;
  const late = new Promise<number>((_, reject) => {
    fail = reject;
  });
  expect(await within(late, 1)).toBeUndefined();
  fail(new Error('late')); // vitest fails on a rejection that nobody handles
  await new Promise((resolve) => setTimeout(resolve, 1));
});
