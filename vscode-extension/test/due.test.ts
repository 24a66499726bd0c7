import { expect, test } from 'vitest';

import { FailedUpdates, findDue, mayBegin, mustEnd, PastUpdates } from '../src/build/due';
import type { ServerStatus } from '../src/server/protocol';
import { makeMemory } from './doubles';

const HOUR_MS = 3_600_000;
const DRIFT = { files: 10, changed: 3, added: 0, removed: 0, share: 0.3, isStale: true, command: 'submodel update /a' };
const STATUS: ServerStatus = {
  power: { onBattery: false },
  bundles: [{ workspaceFolder: '/a', build: 'b0', drift: DRIFT }],
};
const BUILT = { repository: '/a', build: 'b0' };
const STALE = { ...BUILT, figures: '10 3 0 0' };
const QUIET = { isAutomatic: true, isTrusted: true, isQuiet: true };
const WELL = {
  conditions: QUIET,
  status: STATUS as ServerStatus | undefined,
  isEnabled: true,
  hasFailed: false,
  hadToWait: false,
};

test.each([
  ['all is well', {}, STALE],
  ['the setting is off', { conditions: { ...QUIET, isAutomatic: false } }, undefined],
  ['the workspace is not trusted', { conditions: { ...QUIET, isTrusted: false } }, undefined],
  ['somebody types', { conditions: { ...QUIET, isQuiet: false } }, undefined],
  ['on battery', { status: { ...STATUS, power: { onBattery: true } } }, undefined],
  ['suggestions are off there', { isEnabled: false }, undefined],
  ['the last update has failed', { hasFailed: true }, undefined],
  ['the last update had to wait', { hadToWait: true }, undefined],
  ['there is no server', { status: undefined }, undefined],
  ['nothing is stale', { status: { bundles: [{ workspaceFolder: '/a', drift: null }] } }, undefined],
])('%s', async (_, change, due) => {
  const { conditions, status, isEnabled, hasFailed, hadToWait } = { ...WELL, ...change };
  const failures = new FailedUpdates(makeMemory());
  if (hasFailed) {
    await failures.note(BUILT, 'no memory');
  }
  const past = new PastUpdates();
  if (hadToWait) {
    past.note(STALE, 'notNow');
  }
  expect(findDue(conditions, status, failures, past, () => isEnabled)).toEqual(due);
});

test('an update that runs ends once the setting is off, or when it stands still for too long', () => {
  expect(mustEnd({ isAutomatic: true }, false)).toBe(false);
  expect(mustEnd({ isAutomatic: false }, false)).toBe(true);
  expect(mustEnd({ isAutomatic: true }, true)).toBe(true);
});

test('the server is not asked while no update may begin', () => {
  expect(mayBegin(QUIET)).toBe(true);
  for (const one of ['isAutomatic', 'isTrusted', 'isQuiet']) {
    expect(mayBegin({ ...QUIET, [one]: false })).toBe(false);
  }
});

test('what has failed is left for a day, in each window, unless there is another bundle', async () => {
  let now = 0;
  const [ofWorkspace, time] = [makeMemory(), () => now];
  const failures = new FailedUpdates(ofWorkspace, time);
  expect(failures.has(BUILT)).toBe(false);
  await failures.note(BUILT, 'no memory');
  now = 23 * HOUR_MS;
  const inNextWindow = new FailedUpdates(ofWorkspace, time);
  expect(inNextWindow.has(BUILT)).toBe(true);
  expect(inNextWindow.has({ ...BUILT, build: 'b1' })).toBe(false);
  expect(inNextWindow.has({ ...BUILT, repository: '/other' })).toBe(false);
  now = 25 * HOUR_MS;
  expect(inNextWindow.has(BUILT)).toBe(false);
  now = -HOUR_MS; // the clock was set back: a day may be long over
  expect(inNextWindow.has(BUILT)).toBe(false);
});

test('a problem is news once, and again after a success', async () => {
  const failures = new FailedUpdates(makeMemory());
  expect(await failures.note(BUILT, 'no memory')).toBe(true);
  expect(await failures.note(BUILT, 'no memory')).toBe(false);
  expect(await failures.note(BUILT, 'no disk')).toBe(true);
  await failures.forget(BUILT.repository);
  expect(failures.has(BUILT)).toBe(false);
  expect(await failures.note(BUILT, 'no disk')).toBe(true);
});

test('what had to wait is left for an hour, unless there is another bundle', () => {
  let now = 0;
  const past = new PastUpdates(() => now);
  expect(past.has(STALE)).toBe(false);
  past.note(STALE, 'notNow');
  now = HOUR_MS - 1;
  expect(past.has({ ...STALE, figures: '11 3 0 0' })).toBe(true);
  expect(past.has({ ...STALE, build: 'b1' })).toBe(false);
  expect(past.has({ ...STALE, repository: '/other' })).toBe(false);
  now = HOUR_MS;
  expect(past.has(STALE)).toBe(false);
});

test('what was done is left until there is another bundle or another drift, or for a day', () => {
  let now = 0;
  const past = new PastUpdates(() => now);
  past.note(STALE, 'done');
  now = 23 * HOUR_MS;
  expect(past.has(STALE)).toBe(true);
  expect(past.has({ ...STALE, build: 'b1' })).toBe(false);
  expect(past.has({ ...STALE, figures: '11 3 0 0' })).toBe(false);
  now = 24 * HOUR_MS;
  expect(past.has(STALE)).toBe(false);
});
