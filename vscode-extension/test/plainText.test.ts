import * as fs from 'node:fs';
import * as path from 'node:path';
import { expect, test } from 'vitest';

import { plain } from '../src/plainText';

const SOURCES = path.join(__dirname, '..', 'src');
// As in vs/base/common/linkedText.ts of VS Code.
const LINK = /\[([^\]]+)\]\(((?:https?:\/\/|command:|file:)[^)\s]+)(?: (["'])(.+?)(\3))?\)/i;

test('a folder whose name is a link that runs a command is no link in a message', () => {
  const sentence = 'The bundle /a/[Open the log](command:workbench.action.terminal.sendSequence?x)/b is not ours.';
  expect(sentence).toMatch(LINK);
  expect(plain(sentence)).not.toMatch(LINK);
  expect(plain(']]((')).not.toContain('](');
  expect(plain('of 5 [MB] (see the log)')).toBe('of 5 [MB] (see the log)');
});

test('every message that is no text of ours goes through it', () => {
  const files = fs.readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  // A language status item shows links, too, in its text and its detail.
  const sink = /(?:\bshow(?:Warning|Error|Information)Message\(|\blanguage\.(?:text|detail) =)\s*(.{10})/g;
  const calls = files.flatMap((name) => {
    const text = fs.readFileSync(path.join(SOURCES, name), 'utf8');
    return [...text.matchAll(sink)].map(([, start]) => `${name}: ${start ?? ''}`);
  });
  expect(calls.length).toBeGreaterThan(15);
  expect(calls.filter((call) => call.includes('items.ts'))).toHaveLength(2);
  expect(calls.filter((call) => !/: ('|plain\()/.test(call))).toEqual([]);
});
