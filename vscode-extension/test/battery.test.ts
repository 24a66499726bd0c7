import { expect, test } from 'vitest';

import { describeOnBattery, turnOver } from '../src/status/battery';

test.each(['full', 'saving', undefined])('what the pause replaces comes back: %s', (own) => {
  const paused = turnOver(own ?? 'saving', own, undefined);
  expect(paused).toEqual({ value: 'off', replaced: own });
  expect(turnOver('off', 'off', paused.replaced)).toEqual({ value: own, replaced: undefined });
});

test('a pause that was set by hand ends in the default', () => {
  expect(turnOver('off', 'off', undefined).value).toBeUndefined();
  expect(turnOver('off', 'off', 'off').value).toBeUndefined();
});

test('each value has its sentence', () => {
  const texts = ['full', 'saving', 'off'].map(describeOnBattery);
  expect(new Set(texts).size).toBe(3);
});
