import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import { expect, test } from 'vitest';

import { probeVersion, readVersion } from '../src/executable/probe';

test.each([
  ['submodel 0.1.0\n', '0.1.0'],
  ['a warning\nsubmodel 1.2.3.dev4+x\r\n', '1.2.3.dev4+x'],
  ['submodel\n', undefined],
  ['notsubmodel 1.0\n', undefined],
  ['Python 3.11.7\n', undefined],
])('%j has version %s', (output, version) => {
  expect(readVersion(output)).toBe(version);
});

test.skipIf(process.platform === 'win32')('a program that fails', async () => {
  expect(await probeVersion('/bin/false')).toMatchObject({ isMissing: false }); // Windows has none
});

test.skipIf(process.platform === 'win32')('a program whose Python is gone is there, and broken', async () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'probe-'));
  const command = path.join(folder, 'submodel');
  writeFileSync(command, '#!/nowhere/venv/bin/python\n', { mode: 0o755 });
  expect(await probeVersion(command)).toEqual({
    problem: 'the Python that it names is gone; install submodel again',
    isMissing: false,
  });
  rmSync(folder, { recursive: true });
});

test('a program that is not there, and another one', async () => {
  expect(await probeVersion('/nowhere/submodel')).toMatchObject({ isMissing: true });
  expect(await probeVersion(process.execPath)).toMatchObject({ isMissing: false });
});

test('a name that the current folder would complete is not run', async () => {
  for (const command of ['submodel', './submodel', 'bin/submodel']) {
    expect(await probeVersion(command)).toMatchObject({ isMissing: true });
  }
});

test('a path that no system can start is a problem, not an error', async () => {
  expect(await probeVersion(`${process.execPath}\0`)).toMatchObject({ isMissing: false });
});
