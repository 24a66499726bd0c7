import { expect, test } from 'vitest';

import { FailedUpdates, findDue, mayBegin } from '../src/build/due';
import type { ServerStatus } from '../src/server/protocol';

const HOUR_MS = 3_600_000;
const DRIFT = { files: 10, changed: 3, added: 0, removed: 0, share: 0.3, isStale: true, command: 'submodel update /a' };
const STATUS: ServerStatus = {
  power: { onBattery: false },
  bundles: [{ workspaceFolder: '/a', build: 'b0', drift: DRIFT }],
};
const BUILT = { repository: '/a', build: 'b0' };
const QUIET = { isAutomatic: true, isTrusted: true, isQuiet: true };

/** The memory of a workspace, which holds JSON. */
function memory(): ConstructorParameters<typeof FailedUpdates>[0] {
  const kept = new Map<string, string>();
  return {
    get: (key) => JSON.parse(kept.get(key) ?? 'null') as unknown,
    update: (key, value) => Promise.resolve(void kept.set(key, JSON.stringify(value))),
  };
}

test.each([
  ['all is well', QUIET, STATUS, true, BUILT],
  ['the setting is off', { ...QUIET, isAutomatic: false }, STATUS, true, undefined],
  ['the workspace is not trusted', { ...QUIET, isTrusted: false }, STATUS, true, undefined],
  ['somebody types', { ...QUIET, isQuiet: false }, STATUS, true, undefined],
  ['on battery', QUIET, { ...STATUS, power: { onBattery: true } }, true, undefined],
  ['suggestions are off there, or the last update has failed', QUIET, STATUS, false, undefined],
  ['there is no server', QUIET, undefined, true, undefined],
  ['nothing is stale', QUIET, { bundles: [{ workspaceFolder: '/a', drift: null }] }, true, undefined],
])('%s', (_, conditions, status, isWanted, due) => {
  expect(findDue(conditions, status, () => isWanted)).toEqual(due);
});

test('the server is not asked while no update may begin', () => {
  expect(mayBegin(QUIET)).toBe(true);
  for (const one of ['isAutomatic', 'isTrusted', 'isQuiet']) {
    expect(mayBegin({ ...QUIET, [one]: false })).toBe(false);
  }
});

test('what has failed is left for a day, in each window, unless there is another bundle', async () => {
  let now = 0;
  const [ofWorkspace, time] = [memory(), () => now];
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
});

test('a problem is news once, and again after a success', async () => {
  const failures = new FailedUpdates(memory());
  expect(await failures.note(BUILT, 'no memory')).toBe(true);
  expect(await failures.note(BUILT, 'no memory')).toBe(false);
  expect(await failures.note(BUILT, 'no disk')).toBe(true);
  await failures.forget(BUILT.repository);
  expect(failures.has(BUILT)).toBe(false);
  expect(await failures.note(BUILT, 'no disk')).toBe(true);
});
