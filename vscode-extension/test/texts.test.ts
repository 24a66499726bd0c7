import * as fs from 'node:fs';
import * as path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';

import { findOtherExtensions } from '../src/onboarding/extensionNames';
import { readServerLine } from '../src/server/serverLog';
import { arrangeDecision, arrangeStatistics, toMarkdown } from '../src/views/outline';
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

test('Copilot is not named if its setting is off in every language', () => {
  const ids = ['GitHub.copilot', 'github.copilot-chat', 'TabbyML.vscode-tabby'];
  expect(findOtherExtensions(ids, { '*': false })).toEqual(['Tabby']);
  expect(findOtherExtensions(ids, { '*': false, python: true })).toEqual(['GitHub Copilot', 'Tabby']);
  expect(findOtherExtensions(ids, { '*': true })).toEqual(['GitHub Copilot', 'Tabby']);
});

test('a decision begins with its reason, and the place and the time are those of an editor', () => {
  const time = '2026-11-27T18:00:00.000+00:00';
  const file = path.resolve('/a b/c.py');
  const facts = { id: 7, time, uri: pathToFileURL(file).href, line: 4, character: 0, reason: 'why', rule: 'mid-word' };
  const arranged = arrangeDecision(facts);
  expect(Object.keys(arranged)).toEqual(['reason', 'place', 'time', 'id', 'rule']);
  expect(arranged).toMatchObject({ place: `${file}:5:1`, time: new Date(time).toLocaleTimeString() });
  expect(arrangeDecision({ uri: 'untitled:Untitled-1', reason: 'why' })).toEqual({
    reason: 'why',
    place: 'untitled:Untitled-1',
  });
});

test('statistics begin at a time of the clock here', () => {
  const since = '2026-11-27T18:00:00+00:00';
  expect(arrangeStatistics({ since, shown: 3 })).toEqual({ since: new Date(since).toLocaleString(), shown: 3 });
  expect(arrangeStatistics({ shown: 3 })).toEqual({ shown: 3 });
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

test('the page that the package brings has no link out of it', () => {
  expect(fs.readFileSync('README.md', 'utf8')).not.toContain('](../');
});

test('messages of commits get no suggestions while typing, and a key asks for one', () => {
  const { contributes } = JSON.parse(fs.readFileSync('package.json', 'utf8')) as {
    contributes: {
      keybindings: unknown[];
      configuration: { properties: Record<string, { default: Record<string, boolean> }> }[];
    };
  };
  const languages = contributes.configuration[0]?.properties['submodel.languages']?.default;
  expect(languages).toMatchObject({ '*': true, 'git-commit': false, 'git-rebase': false });
  expect(languages).not.toHaveProperty('scminput'); // the server sees no document of that kind
  expect(contributes.keybindings).toContainEqual({
    command: 'editor.action.inlineSuggest.trigger',
    key: 'alt+\\',
    when: 'editorTextFocus && !editorReadonly',
  });
});
