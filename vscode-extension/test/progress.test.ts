import { expect, test } from 'vitest';

import { buildArguments } from '../src/build/arguments';
import { readFailure, readProgress } from '../src/build/progress';

const BAR =
  '\u001b[2K\rprune                    \u001b[38;5;197m━━━━━━━━━╸━━━━━━\u001b[0m  \u001b[35m 43%\u001b[0m 0:00:12 0:00:15';

test.each([
  [BAR, { stage: 'prune', percent: 43 }],
  [`corpus   ━━━━ 100% 0:00:01\n${BAR}\n`, { stage: 'prune', percent: 43 }],
  ['recover the model   ━━━━━━━━   7% 0:00:12', { stage: 'recover the model', percent: 7 }],
  ['corpus: 1.2 s\nprune: 8 % after 28 s, about 2 min 6 s left\n', { stage: 'prune', percent: 8 }],
  ['corpus: 1.2 s\n', undefined],
  ['find the base: 15 s so far\n', undefined],
  ['smollm2-135m: it was asked for, and 5% of it is new\n', undefined],
])('%j', (output, progress) => {
  expect(readProgress(output)).toEqual(progress);
});

test('the last sentence of a failure', () => {
  expect(readFailure('x\r\nsubmodel: no git\r\nsubmodel: It has 1 file;\r\nadd more.\r\n')).toBe(
    'submodel: It has 1 file; add more.',
  );
  expect(readFailure('Traceback')).toBeUndefined();
});

test('extra arguments come last', () => {
  const settings = { base: 'auto', size: '0.6', minutes: 0, extraArguments: ['--size', '0.5'] };
  const expected = ['build', '/r', '--base', 'auto', '--size', '0.6', '--minutes', '0', '--size', '0.5'];
  expect(buildArguments(settings, '/r')).toEqual(expected);
});
