import { expect, test } from 'vitest';

import { findOtherExtensions } from '../src/onboarding/extensionNames';
import { readServerLine } from '../src/server/serverLog';
import { toMarkdown } from '../src/views/outline';
import { withPolicy } from '../src/views/policy';

test('lines of the server keep their level', () => {
  const line = '2026-11-25 20:01:02,003 INFO lsp_server.service: Serving /a b/.submodel/bundle';
  expect(readServerLine(line)).toEqual({ level: 'info', text: 'lsp_server.service: Serving /a b/.submodel/bundle' });
  expect(readServerLine('Traceback (most recent call last):').level).toBe('warn');
});

test('other extensions are told by their name, each once', () => {
  expect(
    findOtherExtensions(['GitHub.copilot', 'github.copilot-chat', 'ms-python.python', 'TabbyML.vscode-tabby']),
  ).toEqual(['GitHub Copilot', 'Tabby']);
});

test('what the server tells becomes Markdown, and its text can not', () => {
  const answer = {
    partlyAccepted: 2,
    share: 0.12345,
    text: 'x = `a`\n# no heading\r# nor this\r\n# nor that',
    nothing: { 'mid-word': 3 },
    steps: [{ name: 'threshold', isMultiLine: false }],
    error: null,
    context: [],
  };
  expect(toMarkdown('Statistics', answer)).toBe(
    [
      '# Statistics',
      '',
      '- **partly accepted**: 2',
      '- **share**: 0.123',
      '- **text**: `` x = `a`⏎ # no heading⏎ # nor this⏎ # nor that ``',
      '- **nothing**:',
      '    - **mid-word**: 3',
      '- **steps**:',
      '    - **name**: threshold',
      '    - **is multi line**: no',
      '- **context**: none',
      '',
    ].join('\n'),
  );
});

test('a report can fetch and run nothing', () => {
  const policy = /^<!doctype html><html><head><meta http-equiv="Content-Security-Policy" content="default-src 'none';/;
  expect(withPolicy('<html><head lang="en"><title>t</title></head></html>')).toMatch(policy);
  expect(withPolicy('<!-- <head> --><script>1</script>')).toMatch(policy); // on 9201313 the policy lay in the comment
});
