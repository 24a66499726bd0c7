// The bundles on disk. Free of VS Code.

import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';

import type { BuildReport } from '../documents';
import { type BundleInfo, readManifest } from './manifest';

export const OWN_BUNDLE = path.join('.submodel', 'bundle');
export const MANIFEST = 'bundle.json';
const PREVIOUS = path.join('.submodel', 'previous');
const REPORT = path.join('.submodel', 'report.json');
const MAX_REPORT_BYTES = 64 * 1024 * 1024; // it holds every answer
const MAX_MANIFEST_BYTES = 16 * 1024 * 1024; // hashes of a hundred thousand files

/** The bundle folder, read; undefined if it is none. */
export async function readBundle(folder: string): Promise<BundleInfo | undefined> {
  try {
    const file = path.join(folder, MANIFEST);
    const [text, facts] = await Promise.all([readBounded(file, MAX_MANIFEST_BYTES), fs.stat(file)]);
    return readManifest(text, folder, facts.mtime);
  } catch {
    return undefined;
  }
}

/** Whether a folder is a bundle that was replaced in a repository. */
export function isPreviousOf(repository: string, folder: string): boolean {
  return isAtOrBelow(folder, path.join(repository, PREVIOUS));
}

const MAX_PREVIOUS = 2; // as the server lists: a clone may bring any number, and each bundle.json is read whole

/** The bundles that were replaced in a repository, the one that was replaced last first, as the server lists them. */
export async function listPrevious(repository: string): Promise<string[]> {
  const place = path.join(repository, PREVIOUS);
  const names = await fs.readdir(place).catch(() => []);
  const folders = await Promise.all(
    names.map(async (name) => {
      const folder = path.join(place, name);
      const facts = await fs.stat(folder).catch(() => undefined);
      return facts ? [{ folder, replacedAt: facts.mtimeMs }] : [];
    }),
  );
  const newest = folders.flat().sort((one, other) => other.replacedAt - one.replacedAt);
  const read = await Promise.all(newest.slice(0, MAX_PREVIOUS).map(({ folder }) => readBundle(folder)));
  return read.flatMap((bundle) => bundle?.folder ?? []);
}

/** Whether the report of the last build says that the sub-model is worse than its base; false if nothing was scored. */
export async function isWorseThanBase(repository: string): Promise<boolean> {
  try {
    const report = JSON.parse(
      await readBounded(path.join(repository, REPORT), MAX_REPORT_BYTES),
    ) as Partial<BuildReport>;
    return report.is_worse === true;
  } catch {
    return false;
  }
}

/** Whether a path leads to a network share. The server refuses those: opening one sends the user's name to that machine. */
export function isOnShare(folder: string): boolean {
  return /^(\/\/|\/\?\?\/)/.test(folder.replaceAll('\\', '/')); // Windows takes either slash, and \??\UNC\host
}

/** The text of a regular file of at most `maxBytes`; throws for any other. */
export async function readBounded(file: string, maxBytes: number): Promise<string> {
  const handle = await fs.open(file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK); // a pipe would wait
  try {
    const facts = await handle.stat();
    if (!facts.isFile() || facts.size > maxBytes) {
      throw new Error(`${file} is no file of at most ${maxBytes} bytes.`);
    }
    const buffer = Buffer.alloc(facts.size);
    const { bytesRead } = await handle.read(buffer, 0, facts.size, 0); // no more, if it grows meanwhile
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/**
 * The nearest folder at or above `start` that has a `.submodel/bundle`, as the server looks for it: not above the root
 * of a git repository, and not by climbing into the home folder or one that holds it.
 */
export async function findRepository(start: string, home: string = os.homedir()): Promise<string | undefined> {
  for (const folder of await listSearched(start, home)) {
    if ((await isFolder(path.join(folder, OWN_BUNDLE))) && !(await isBehindLink(folder))) {
      return folder;
    }
  }
  return undefined;
}

/** Whether the place of a repository's bundle is a link, which the server follows no more than this does. */
async function isBehindLink(repository: string): Promise<boolean> {
  const places = [path.join(repository, path.dirname(OWN_BUNDLE)), path.join(repository, OWN_BUNDLE)];
  const facts = await Promise.all(places.map((place) => fs.lstat(place).catch(() => undefined)));
  return facts.some((one) => one?.isSymbolicLink());
}

/** The root of the git repository of `start`, where a bundle may appear; undefined if no search gets to one. */
export async function findGitRoot(start: string, home: string = os.homedir()): Promise<string | undefined> {
  const last = (await listSearched(start, home)).at(-1);
  return last !== undefined && (await isGitRoot(last)) ? last : undefined;
}

/** The folders that `findRepository` looks into, `start` first. */
async function listSearched(start: string, home: string): Promise<string[]> {
  const homes = [home, await fs.realpath(home).catch(() => home)];
  const folders = [path.resolve(start)];
  for (let folder = folders[0]; folder !== undefined && !(await isGitRoot(folder));) {
    const above = path.dirname(folder);
    const isEnd = folder === above || homes.some((one) => isAtOrBelow(one, above));
    folder = isEnd ? undefined : above;
    folders.push(...(folder === undefined ? [] : [folder]));
  }
  return folders;
}

/** What a build of a folder may be of: the repository whose bundle `findRepository` found above it, and the folder. */
export function listBuildable(folder: string, repository: string | undefined): string[] {
  return repository === undefined || isSameFolder(repository, folder) ? [folder] : [repository, folder];
}

export function isAtOrBelow(one: string, folder: string): boolean {
  const relative = path.relative(folder, one);
  return relative !== '..' && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative);
}

/** As the system compares paths: on Windows in either case. */
export function isSameFolder(one: string, other: string): boolean {
  return path.relative(one, other) === '';
}

/** Each folder once, as it was written first. */
export function uniqueFolders(folders: readonly string[]): string[] {
  return folders.filter((folder, index) => folders.findIndex((one) => isSameFolder(one, folder)) === index);
}

async function isGitRoot(folder: string): Promise<boolean> {
  return fs.lstat(path.join(folder, '.git')).then(
    () => true,
    () => false,
  );
}

export async function isFolder(folder: string): Promise<boolean> {
  return fs.stat(folder).then(
    (facts) => facts.isDirectory(),
    () => false,
  );
}
