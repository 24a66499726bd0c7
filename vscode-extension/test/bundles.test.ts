import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import {
  findGitRoot,
  findRepository,
  isOnShare,
  isWorseThanBase,
  listBuildable,
  OWN_BUNDLE,
  readBounded,
  readBundle,
  uniqueFolders,
} from '../src/bundle/bundles';
import { trustBundle, untrustedIn } from '../src/bundle/trust';
import { shortBytes, shortCount } from '../src/bundle/manifest';

let repository: string;

beforeEach(() => {
  repository = fs.mkdtempSync(path.join(os.tmpdir(), 'submodel-'));
});
afterEach(() => {
  fs.rmSync(repository, { recursive: true });
});

/** A bundle as a build leaves it: every file is new. */
function build(time: number, model = 'weights'): string {
  const folder = path.join(repository, OWN_BUNDLE);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(path.join(folder, 'onnx'), { recursive: true });
  fs.writeFileSync(path.join(folder, 'onnx', 'model.onnx'), model);
  const files = { 'onnx/model.onnx': { bytes: model.length } };
  const manifest = path.join(folder, 'bundle.json');
  fs.writeFileSync(manifest, JSON.stringify({ base: { name: 'b' }, parameters: 5_000_000, files }));
  fs.utimesSync(manifest, time, time);
  return folder;
}

test('a bundle is read, and what is none is not', async () => {
  expect(await readBundle(build(1000))).toMatchObject({ base: 'b', parameters: 5_000_000, bytes: 7 });
  expect(await readBundle(repository)).toBeUndefined();
  fs.writeFileSync(path.join(repository, OWN_BUNDLE, 'bundle.json'), '[]');
  expect(await readBundle(path.join(repository, OWN_BUNDLE))).toBeUndefined();
});

test('only a report that says so makes a sub-model worse than its base', async () => {
  expect(await isWorseThanBase(repository)).toBe(false);
  fs.mkdirSync(path.join(repository, '.submodel'));
  for (const [report, isWorse] of [
    [{ is_worse: true }, true],
    [{ is_worse: false }, false],
    [{}, false], // nothing was scored
  ] as const) {
    fs.writeFileSync(path.join(repository, '.submodel', 'report.json'), JSON.stringify(report));
    expect(await isWorseThanBase(repository)).toBe(isWorse);
  }
});

test.each([
  ['\\\\server\\share\\bundle', true],
  ['//server/share/bundle', true],
  ['\\/server\\share', true],
  ['/\\server/share', true],
  ['\\??\\UNC\\server\\share', true],
  ['C:\\bundle', false],
  ['/bundle', false],
])('%s is on a share: %s', (folder, is) => {
  expect(isOnShare(folder)).toBe(is);
});

test('the repository is found from a folder below', async () => {
  const below = path.join(repository, 'a', 'b');
  fs.mkdirSync(below, { recursive: true });
  fs.mkdirSync(path.join(repository, '.git')); // no search leaves it
  expect(await findRepository(below)).toBeUndefined();
  build(1000);
  expect(await findRepository(below)).toBe(repository);
});

test.skipIf(process.platform === 'win32')('a bundle behind a link is not found', async () => {
  build(1000);
  const clone = path.join(repository, 'clone');
  fs.mkdirSync(path.join(clone, '.git'), { recursive: true });
  fs.symlinkSync(path.join(repository, '.submodel'), path.join(clone, '.submodel'));
  expect(await findRepository(clone)).toBeUndefined();
});

test('a build is of the repository whose bundle is served, unless the user picks the folder', async () => {
  const below = path.join(repository, 'packages', 'a');
  fs.mkdirSync(below, { recursive: true });
  expect(listBuildable(below, await findRepository(below))).toEqual([below]);
  build(1000);
  expect(listBuildable(below, await findRepository(below))).toEqual([repository, below]);
  expect(listBuildable(repository, await findRepository(repository))).toEqual([repository]);
});

test('a folder that is written in two ways is one', () => {
  const [a, b] = [path.resolve('/a'), path.resolve('/b')];
  expect(uniqueFolders([a, b, a + path.sep])).toEqual([a, b]);
  expect(listBuildable(a, a + path.sep)).toEqual([a]); // on Windows also in another case
});

test('no search leaves a git repository or climbs into the home folder', async () => {
  build(1000);
  const below = path.join(repository, 'homes', 'me', 'work');
  fs.mkdirSync(below, { recursive: true });
  expect(await findRepository(below, path.join(repository, 'homes', 'me'))).toBeUndefined();
  expect(await findRepository(below, path.join(repository, 'homes', 'other', 'deep'))).toBeUndefined();
  expect(await findRepository(below, repository)).toBeUndefined();
  expect(await findRepository(repository, repository)).toBe(repository);
  expect(await findRepository(below, '/elsewhere')).toBe(repository);
  fs.mkdirSync(path.join(below, '.git'));
  expect(await findRepository(below, '/elsewhere')).toBeUndefined();
});

test('a bundle may appear at the root of the git repository, and is watched for there', async () => {
  const below = path.join(repository, 'me', 'work', 'a');
  fs.mkdirSync(below, { recursive: true });
  fs.mkdirSync(path.join(repository, '.git'));
  expect(await findGitRoot(below, '/elsewhere')).toBe(repository);
  expect(await findGitRoot(repository, repository)).toBe(repository);
  expect(await findGitRoot(below, path.join(repository, 'me'))).toBeUndefined();
  fs.rmSync(path.join(repository, '.git'), { recursive: true });
  expect(await findGitRoot(below, repository)).toBeUndefined();
});

test('a message is about the untrusted bundle whose sentence it ends with', () => {
  const error = 'The bundle /a was not built by this account; run `submodel trust /a` to use it, or delete it.';
  const bundles = [
    { folder: '/b', state: 'failed', error },
    { folder: '/a', state: 'untrusted', error, build: 'b0' },
  ] as const;
  expect(untrustedIn(`submodel: ${error}`, bundles)).toEqual({ folder: '/a', build: 'b0' });
  const [, { folder, state }] = bundles;
  expect(untrustedIn(error, [{ folder, state, error }])).toEqual({ folder: '/a', build: undefined });
  expect(untrustedIn('submodel: something else', bundles)).toBeUndefined();
  expect(untrustedIn('', [{ folder: '/a', state: 'untrusted', error: null }])).toBeUndefined();
});

// Windows runs no script by its first line.
const testOnPosix = test.skipIf(process.platform === 'win32');
testOnPosix('the shown build is trusted, by a child that looks for nothing in its current folder', async () => {
  const command = path.join(repository, 'submodel');
  const script =
    '#!/bin/sh\n{ printf "%s|" "$@"; pwd; printf "%s" "$PATH"; } >"$0.ran"\necho its sentence >&2\nexit 1\n';
  fs.writeFileSync(command, script, { mode: 0o755 });
  const before = process.env['PATH'];
  process.env['PATH'] = `.:bin:${before ?? ''}`;
  try {
    await expect(trustBundle(command, { folder: '/a', build: 'b0' })).rejects.toThrow('its sentence');
  } finally {
    process.env['PATH'] = before;
  }
  const [started, searched = ''] = fs.readFileSync(`${command}.ran`, 'utf8').split('\n');
  expect(started).toBe(`trust|/a|--build|b0|${fs.realpathSync(os.homedir())}`);
  expect(searched.split(':').every((folder) => path.isAbsolute(folder))).toBe(true);
  await expect(trustBundle(command, { folder: '/a', build: undefined })).rejects.toThrow();
  expect(fs.readFileSync(`${command}.ran`, 'utf8')).toMatch(/^trust\|\/a\|\//);
});

test('counts and bytes are short', () => {
  expect([80_708_544, 1_540_000_000, 12_000].map(shortCount)).toEqual(['81M', '1.5B', '12k']);
  expect([98_015_180, 1_540_000_000].map(shortBytes)).toEqual(['98 MB', '1.5 GB']);
});

test('files are read up to a bound, and nothing but files', async () => {
  const file = path.join(repository, 'a.txt');
  fs.writeFileSync(file, 'äbc');
  expect(await readBounded(file, 4)).toBe('äbc');
  await expect(readBounded(file, 3)).rejects.toThrow('at most 3 bytes');
  await expect(readBounded(repository, 1_000_000)).rejects.toThrow();
});
