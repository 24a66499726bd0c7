// Folders to open: small repositories, with a bundle or without.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';

import { GIVEN_BUNDLE, OUT, REPOSITORY, SUBMODEL } from './places.mjs';

const BUNDLE = path.join(OUT, 'bundle');
const trustedFolders = new Set<string>(); // by the tests of this file
export const BUILD_ARGUMENTS = ['--positions', '0', '--size', '0.66'];
export const BUILD_SETTINGS = {
  'submodel.build.base': 'smollm2-135m',
  'submodel.build.minutes': 0,
  'submodel.build.extraArguments': BUILD_ARGUMENTS,
};

/** Something to complete: whoever has seen three of these can write the fourth, and it is like none of them. */
export const CODE = `first = make_point(name="first", left=1, right=2)
second = make_point(name="second", left=2, right=3)
third = make_point(name="third", left=3, right=4)
`;
export const TYPED = 'fourth = make_point(';

export interface Files {
  readonly [name: string]: string;
}

/** A fresh folder with these files. */
export function makeFolder(name: string, files: Files): string {
  const folder = path.join(OUT, 'workspaces', name);
  fs.rmSync(folder, { recursive: true, force: true });
  for (const [file, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), text);
  }
  return folder;
}

/** A fresh folder with these files and the tests' bundle. */
export function makeWorkspace(name: string, files: Files): string {
  const folder = makeFolder(name, files);
  linkFiles(bundle(), path.join(folder, '.submodel', 'bundle'));
  return folder;
}

/** A copy of a folder whose files take no room: a bundle that is a link is not served. */
function linkFiles(from: string, to: string): void {
  fs.mkdirSync(to, { recursive: true });
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const link = entry.isDirectory() ? linkFiles : fs.linkSync;
    link(path.join(from, entry.name), path.join(to, entry.name));
  }
}

/** A bundle of somebody else in the place of the tests' own. */
export function replaceWithForeign(workspace: string): void {
  replaceBundle(workspace);
  markAsOther(path.join(workspace, '.submodel', 'bundle'));
}

/** Another build in the place of a bundle, as a build in a terminal puts it there. */
export function replaceWithNewBuild(workspace: string): void {
  const [place, next, old] = ['bundle', 'next-bundle', 'old-bundle'].map((name) =>
    path.join(workspace, '.submodel', name),
  );
  fs.cpSync(bundle(), next!, { recursive: true });
  markAsOther(next!);
  trusted(next!);
  fs.renameSync(place!, old!);
  fs.renameSync(next!, place!);
}

/** Make another build of a bundle, which nobody trusts yet. */
function markAsOther(folder: string): void {
  const manifest = path.join(folder, 'bundle.json');
  const document = JSON.parse(fs.readFileSync(manifest, 'utf8')) as { checksum?: string };
  delete document.checksum; // the last key: the SHA-256 of the file with zeros in its place
  const zeros = '0'.repeat(64);
  const text = `${JSON.stringify({ ...document, mark: Date.now(), checksum: zeros }, null, 2)}\n`;
  fs.writeFileSync(manifest, text.replace(zeros, createHash('sha256').update(text).digest('hex')));
}

/** A copy of the tests' bundle in the place of its links. */
export function replaceBundle(workspace: string): void {
  const place = path.join(workspace, '.submodel', 'bundle');
  fs.rmSync(place, { recursive: true });
  fs.cpSync(bundle(), place, { recursive: true });
}

/** A repository that is large enough to build of: this project's own Python. */
export function makeRepository(name: string): string {
  const folder = makeFolder(name, { 'points.py': CODE });
  for (const part of ['builder', 'lsp_server', 'exporters', 'submodel']) {
    fs.cpSync(path.join(REPOSITORY, part), path.join(folder, part), {
      recursive: true,
      filter: (file) => !file.endsWith('__pycache__'),
    });
  }
  return folder;
}

/** The bundle that a build has made, for the tests that follow. */
export function keepBundle(from: string): void {
  fs.rmSync(BUNDLE, { recursive: true, force: true });
  fs.cpSync(from, BUNDLE, { recursive: true });
  trustedFolders.delete(BUNDLE);
}

function bundle(): string {
  if (GIVEN_BUNDLE !== undefined) {
    return trusted(path.resolve(GIVEN_BUNDLE));
  }
  if (!fs.existsSync(path.join(BUNDLE, 'bundle.json'))) {
    const repository = makeRepository('for the bundle');
    const options = ['--base', 'smollm2-135m', '--minutes', '0', ...BUILD_ARGUMENTS];
    execFileSync(SUBMODEL, ['build', repository, ...options], { stdio: 'inherit' });
    keepBundle(path.join(repository, '.submodel', 'bundle'));
  }
  return trusted(BUNDLE);
}

/** The same folder: it may have been built by another account, or when nothing kept a list. */
function trusted(folder: string): string {
  if (!trustedFolders.has(folder)) {
    execFileSync(SUBMODEL, ['trust', folder], { stdio: 'pipe' });
    trustedFolders.add(folder);
  }
  return folder;
}
