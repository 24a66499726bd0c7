// The bundles on disk: the workspace's own, and the older ones that builds have kept beside it. Free of VS Code.

import * as fs from 'node:fs/promises';
import * as path from 'node:path';

import { type BundleInfo, readManifest } from './manifest';

export const OWN_BUNDLE = path.join('.submodel', 'bundle');
const KEPT_BUNDLES = path.join('.submodel', 'previous');
const MANIFEST = 'bundle.json';

/** The bundle folder, read; undefined where it is none. */
export async function readBundle(folder: string): Promise<BundleInfo | undefined> {
  try {
    const file = path.join(folder, MANIFEST);
    const [text, facts] = await Promise.all([fs.readFile(file, 'utf8'), fs.stat(file)]);
    return readManifest(text, folder, facts.mtime);
  } catch {
    return undefined;
  }
}

/** The nearest folder at or above `start` that has a `.submodel/bundle`, as the server looks for it. */
export async function findRepository(start: string): Promise<string | undefined> {
  for (let folder = path.resolve(start); ; folder = path.dirname(folder)) {
    if (await isFolder(path.join(folder, OWN_BUNDLE))) {
      return folder;
    }
    if (folder === path.dirname(folder)) {
      return undefined;
    }
  }
}

/** The bundles kept in a repository, newest first. */
export async function listKept(repository: string): Promise<BundleInfo[]> {
  const root = path.join(repository, KEPT_BUNDLES);
  const names = await fs.readdir(root).catch(() => []);
  const bundles = await Promise.all(names.map((name) => readBundle(path.join(root, name))));
  return bundles
    .filter((bundle) => bundle !== undefined)
    .sort((left, right) => right.builtAt.getTime() - left.builtAt.getTime());
}

async function isFolder(folder: string): Promise<boolean> {
  return fs.stat(folder).then(
    (facts) => facts.isDirectory(),
    () => false,
  );
}
