import { expect, test } from 'vitest';

import { findRefusal } from '../src/completion/refusal';

const FILE = { scheme: 'file', languageId: 'python', isEnabled: true, isLanguageOn: true, isInlineOn: true };

test('a file is asked for', () => {
  expect(findRefusal(FILE, false)).toBeUndefined();
  expect(findRefusal({ ...FILE, scheme: 'untitled' }, false)).toBeUndefined();
});

test.each([
  [{ ...FILE, isEnabled: false }, /submodel\.enabled/],
  [{ ...FILE, languageId: 'log', isLanguageOn: false }, /in log\. The setting submodel\.languages/],
  [{ ...FILE, isInlineOn: false }, /the setting editor\.inlineSuggest\.enabled/],
  [{ ...FILE, scheme: 'vscode-notebook-cell' }, /notebooks/],
  [{ ...FILE, scheme: 'git' }, /kind git/],
])('%o is not, and the sentence says why', (document, reason) => {
  expect(findRefusal(document, false)).toMatch(reason);
});

test('by hand, only the language and the automatic requests are no matter', () => {
  expect(findRefusal({ ...FILE, isInlineOn: false }, true)).toBeUndefined();
  expect(findRefusal({ ...FILE, isLanguageOn: false }, true)).toBeUndefined();
  expect(findRefusal({ ...FILE, isEnabled: false }, true)).toMatch(/enabled/);
});
