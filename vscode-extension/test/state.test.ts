import { expect, test } from 'vitest';

import { driftedIn, isOnBattery, staleBundles, toPaletteWords, toSnapshot } from '../src/server/serverStatus';
import { describe, INITIAL, snoozeEnd, type Snapshot } from '../src/status/state';

const BUNDLE = {
  folder: '/repo/.submodel/bundle',
  base: 'smollm2-135m',
  parameters: 80_708_544,
  bytes: 98_015_180,
  builtAt: new Date(0),
};
const READY: Snapshot = { ...INITIAL, phase: 'ready', bundles: [BUNDLE], latencyMs: 44.6 };

test('ready: model and last latency', () => {
  expect(describe(READY)).toMatchObject({ text: 'submodel 81M · 45 ms', state: 'ready', severity: 'information' });
  expect(describe(READY).facts).toContainEqual(['Model', 'smollm2-135m, 81M parameters, 98 MB']);
});

test('a build is shown over all else', () => {
  expect(describe({ ...READY, building: 'prune' })).toMatchObject({
    text: 'submodel: prune',
    state: 'building: prune',
    isBusy: true,
  });
  const update = describe({ ...READY, building: 'export', isUpdate: true });
  expect(update).toMatchObject({ state: 'updating: export', icon: 'loading~spin', isBusy: true });
  const still = describe({ ...READY, building: 'waiting', isUpdate: true, isStill: true });
  expect(still).toMatchObject({ state: 'updating: waiting', icon: 'debug-pause', isBusy: false });
});

test('a snooze is shown while the server snoozes', () => {
  const reported = toSnapshot({ state: 'snoozed', snoozedUntil: '2026-11-27T18:00:00+00:00' });
  expect(reported.snoozedUntil).toEqual(new Date('2026-11-27T18:00:00Z'));
  const before = Date.parse('2026-11-27T17:00:00Z');
  expect(describe({ ...READY, ...reported }, before)).toMatchObject({ text: 'submodel: snoozed', icon: 'bell-slash' });
  expect(describe({ ...READY, ...reported }, before).state).toMatch(/^snoozed until \d/);
  expect(toSnapshot({ state: 'ready', snoozedUntil: null })).toMatchObject({ snoozedUntil: undefined });
  const { snoozedUntil } = reported;
  expect(describe({ ...READY, snoozedUntil, phase: 'failed', problem: 'why' })).toMatchObject({
    state: 'the server is not running: why',
    severity: 'error',
  });
});

test('a snooze whose end has passed is over, whatever was told last', () => {
  const reported = toSnapshot({ state: 'snoozed', snoozedUntil: '2026-11-27T18:00:00+00:00' });
  const end = Date.parse('2026-11-27T18:00:00Z');
  expect(describe({ ...READY, ...reported }, end)).toMatchObject({ text: 'submodel 81M · 45 ms', state: 'ready' });
  const { snoozedUntil } = reported;
  expect(snoozeEnd({ snoozedUntil }, end - 1)).toEqual(new Date(end));
  expect(snoozeEnd({ snoozedUntil }, end)).toBeUndefined();
});

test('what the server tells of itself', () => {
  const reported = toSnapshot({
    state: 'ready',
    message: 'fine',
    threads: 2,
    memoryBytes: 2e8,
    power: { policy: 'saving' },
  });
  expect(reported).toEqual({
    phase: 'ready',
    problem: undefined,
    served: [],
    device: 'CPU, 2 cores, saving power', // no memory: it changes with every request, and the tooltip would be late
  });
  expect(toSnapshot({ state: 'paused', message: 'On battery.' })).toMatchObject({ problem: 'On battery.' });
  expect(toSnapshot({})).not.toHaveProperty('phase');
  expect(toSnapshot({ threads: 2, bundles: [{ state: 'ready', provider: 'cuda: it is there' }] }).device).toBe('CUDA');
  expect(toSnapshot({ threads: null as never }).device).toBe('CPU'); // as older servers have it
});

test.each(['ready', 'unloaded'] as const)('%s, but held back by the battery: paused', (state) => {
  const off = toSnapshot({ state, message: 'The battery is at 9 %.', power: { policy: 'off' } });
  expect(describe({ ...READY, ...off })).toMatchObject({
    text: 'submodel: paused',
    state: 'paused: The battery is at 9 %.',
  });
  expect(toSnapshot({ state: 'loading', power: { policy: 'off' } }).phase).toBe('loading');
});

test('the server names its own command, and people read that of the palette', () => {
  const wanted = 'Mend it. Then run the command "submodel: Restart the Server".';
  expect(toPaletteWords('Mend it. Then run the command submodel.reload, or restart the language server.')).toBe(wanted);
  expect(toPaletteWords('Mend it. Then run the command submodel.reload.')).toBe(wanted);
  expect(toSnapshot({ state: 'failed', message: 'Then run the command submodel.reload.' }).problem).toMatch(
    /Restart the Server/,
  );
});

test('an untrusted bundle is known for as long as the server reports it', () => {
  const bundles = [
    { state: 'ready', folder: '/a' } as const,
    { state: 'untrusted', folder: '/b', build: 'b0' } as const,
  ];
  expect(toSnapshot({ bundles }).untrusted).toEqual({ folder: '/b', build: 'b0' });
  expect(toSnapshot({ bundles: bundles.slice(0, 1) })).toHaveProperty('untrusted', undefined);
});

test('a message about drift is told by the command that it suggests', () => {
  const facts = { files: 10, changed: 3, added: 0, removed: 0, share: 0.3, isStale: true };
  const drifted = (folder: string, command: string) => ({
    workspaceFolder: folder,
    drift: { ...facts, command: `submodel ${command} ${folder}` },
  });
  const bundles = [{ workspaceFolder: '/c', drift: null }, drifted('/a/b', 'update'), drifted('/a', 'build'), {}];
  const message = (command: string): string => `submodel: 3 of 10 files in /a have changed; run \`${command}\`.`;
  expect(driftedIn(message('submodel build /a'), bundles)).toEqual({ repository: '/a', task: 'build' });
  expect(driftedIn(message('submodel update /a/b'), bundles)).toEqual({ repository: '/a/b', task: 'update' });
  expect(driftedIn(message('submodel update /a'), bundles)).toBeUndefined();
  const pulled = [drifted('https://models/ /p', 'pull')];
  expect(driftedIn(message('submodel pull https://models/ /p'), pulled)).toHaveProperty('task', undefined);
  expect(driftedIn('No bundle; run `submodel build` in the repository.', bundles)).toBeUndefined();
});

test('an update by itself is of a repository that one would bring up to date, on mains power', () => {
  const facts = { files: 10, changed: 3, added: 0, removed: 0, share: 0.3 };
  const bundle = (folder: string, command: string, isStale: boolean) => ({
    workspaceFolder: folder,
    drift: { ...facts, isStale, command: `submodel ${command} ${folder}` },
  });
  const others = [bundle('/a', 'build', true), bundle('/b', 'update', false), { drift: null }, {}];
  expect(staleBundles(others)).toEqual([]);
  const stale = { ...bundle('/c', 'update', true), build: 'b0' };
  expect(staleBundles([...others, stale])).toEqual([{ repository: '/c', build: 'b0', figures: '10 3 0 0' }]);
  expect(isOnBattery({ power: { onBattery: true } })).toBe(true);
  expect(isOnBattery({ power: { onBattery: null } })).toBe(false); // a desktop
  expect(isOnBattery(undefined)).toBe(false);
});
