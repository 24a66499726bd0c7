import { expect, test } from 'vitest';

import { toPaletteWords, toSnapshot } from '../src/server/serverStatus';
import { describe, INITIAL, snoozeEnd, type Snapshot } from '../src/status/state';

const BUNDLE = {
  folder: '/repo/.submodel/bundle',
  base: 'smollm2-135m',
  parameters: 80_708_544,
  bytes: 98_015_180,
  builtAt: '2026-11-27T18:00:00+00:00',
};
const READY: Snapshot = { ...INITIAL, phase: 'ready', served: [BUNDLE], latencyMs: 44.6 };

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
  expect(describe({ ...READY, ...reported, served: [BUNDLE] }, end)).toMatchObject({
    text: 'submodel 81M · 45 ms',
    state: 'ready',
  });
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
  expect(toSnapshot({ state: 'failed', bundles: [] }).phase).toBe('no-bundle');
  expect(toSnapshot({ state: 'failed', bundles: [{ state: 'untrusted' }] }).phase).toBe('failed');
  expect(toSnapshot({ threads: 2, bundles: [{ state: 'ready', provider: 'cuda: it is there' }] }).device).toBe('CUDA');
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
