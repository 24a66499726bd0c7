// The bundles on disk: the workspace's own, and the older ones that were kept beside it. Free of VS Code.

import * as fs from 'node:fs/promises';
import * as path from 'node:path';

import { type BundleInfo, readManifest } from './manifest';

export const OWN_BUNDLE = path.join('.submodel', 'bundle');
const KEPT_BUNDLES = path.join('.submodel', 'previous');
const MANIFEST = 'bundle.json';
const MOST_KEPT = 2; // a hundred to some hundred megabytes each

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

/**
 * Keep the repository's bundle before a build replaces it, and forget the oldest of those kept.
 *
 * Files are linked, not copied: a build writes new ones. Returns where it was kept; undefined where there was none.
 */
export async function keepBundle(repository: string): Promise<string | undefined> {
  const own = await readBundle(path.join(repository, OWN_BUNDLE));
  if (!own) {
    return undefined;
  }
  const target = path.join(repository, KEPT_BUNDLES, own.builtAt.toISOString().replaceAll(/[:.]/g, '-'));
  if (!(await isFolder(target))) {
    const unfinished = `${target}.unfinished`;
    await fs.rm(unfinished, { recursive: true, force: true });
    await linkTree(own.folder, unfinished);
    await fs.rename(unfinished, target);
  }
  const kept = await listKept(repository);
  for (const old of kept.slice(MOST_KEPT)) {
    await fs.rm(old.folder, { recursive: true, force: true });
  }
  return target;
}

/** Forget a kept bundle that equals the repository's own: the build has changed nothing. */
export async function dropUnchanged(repository: string, kept: string): Promise<void> {
  const [before, now] = await Promise.all([readBundle(kept), readBundle(path.join(repository, OWN_BUNDLE))]);
  if (before && now && before.builtAt.getTime() === now.builtAt.getTime()) {
    await fs.rm(kept, { recursive: true, force: true });
  }
}

async function linkTree(from: string, to: string): Promise<void> {
  await fs.mkdir(to, { recursive: true });
  for (const entry of await fs.readdir(from, { withFileTypes: true })) {
    const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)];
    if (entry.isDirectory()) {
      await linkTree(source, target);
    } else {
      await fs.link(source, target).catch(() => fs.cp(source, target, { preserveTimestamps: true }));
    }
  }
}

async function isFolder(folder: string): Promise<boolean> {
  return fs.stat(folder).then(
    (facts) => facts.isDirectory(),
    () => false,
  );
}
