import { expect, test } from 'vitest';

import { buildArguments, describeFailure, describeProgress, readFailure, readProgress } from '../src/build/progress';
import type { BuildProgress } from '../src/documents';

const RUNNING = { kind: 'stage', stage: 'prune', state: 'running', seconds: 12 } as const;

test.each([
  [JSON.stringify(RUNNING), RUNNING],
  ['{"kind": "message", "text": "Fetching"}', { kind: 'message', text: 'Fetching' }],
  ['{"kind": "of a later version"}', undefined],
  ['{"kind": "stage"', undefined],
  ['[]', undefined],
  ['smollm2-135m: it was asked for, and 5% of it is new', undefined],
])('%s', (line, progress) => {
  expect(readProgress(line)).toEqual(progress);
});

test.each<[BuildProgress, string]>([
  [RUNNING, 'prune'],
  [{ ...RUNNING, share: 0.438 }, 'prune 43 %'],
  [{ ...RUNNING, share: 0.438, seconds_left: 16 }, 'prune 43 %, 16 s left'],
  [{ ...RUNNING, share: 0.5, seconds_left: 90, total_seconds_left: 560 }, 'prune 50 %, 2 min left; 9 min left in all'],
  [{ ...RUNNING, state: 'finished', seconds: 66.96 }, 'prune: 67.0 s'],
  [{ kind: 'stage', stage: 'prune', state: 'kept' }, 'prune: kept from an earlier run'],
  [{ kind: 'message', text: 'Fetching' }, 'Fetching'],
])('%j', (progress, text) => {
  expect(describeProgress(progress)).toBe(text);
});

test('the last sentence of a failure', () => {
  expect(readFailure('x\r\nsubmodel: no git\r\nsubmodel: It has 1 file;\r\nadd more.\r\n')).toBe(
    'submodel: It has 1 file; add more.',
  );
  expect(readFailure('Traceback\n  of it\nValueError: no\n')).toBe('ValueError: no');
  expect(readFailure('\n')).toBeUndefined();
});

test('a usage error is the text of its box', () => {
  const box = ['╭─ Error ───────╮', '│ No such       │', '│ option: --s   │', '╰───────────────╯'];
  expect(readFailure(["Try 'submodel build -h'.", ...box, ''].join('\r\n'))).toBe('No such option: --s');
});

test('what the system has ended says so, and what to do', () => {
  const killed = { code: 137, signal: 'SIGKILL', tail: 'submodel: an old sentence.' };
  expect(describeFailure(killed)).toMatch(/memory ran out\. .*submodel\.build\.base to smollm2-135m, and try/);
  expect(describeFailure({ ...killed, signal: 'SIGSEGV', tail: '' })).toBe('submodel build ended with SIGSEGV.');
  expect(describeFailure({ code: 3, signal: undefined, tail: '' })).toBe('submodel build ended with exit code 3.');
});

test('extra arguments come last', () => {
  const settings = { base: 'auto', minutes: 0, extraArguments: ['--size', '0.5'] };
  const expected = ['build', '/r', '--base', 'auto', '--minutes', '0', '--size', '0.5'];
  expect(buildArguments('/r', settings)).toEqual(expected);
  const unset = { base: undefined, minutes: undefined, extraArguments: [] };
  expect(buildArguments('/r', unset)).toEqual(['build', '/r']);
});

test('a task has its own arguments', () => {
  const settings = { base: 'auto', minutes: 0, extraArguments: ['--size', '0.5'] };
  expect(buildArguments('/r', settings, [])).toEqual(['build', '/r']);
  expect(buildArguments('/r', settings, ['--minutes', '1'])).toEqual(['build', '/r', '--minutes', '1']);
});
