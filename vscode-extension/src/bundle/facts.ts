// A bundle as the server tells of it, for people. Free of VS Code.

import * as path from 'node:path';

import type { ServedBundle } from '../server/protocol';

/** 80,708,544 as `81M`. */
export function shortCount(count: number): string {
  if (count >= 1e9) {
    return `${(count / 1e9).toFixed(1)}B`;
  }
  return count >= 1e6 ? `${Math.round(count / 1e6)}M` : `${Math.round(count / 1e3)}k`;
}

/** Bytes as `98 MB`. */
function shortBytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

/** `smollm2-135m, 81M parameters, 98 MB`; empty for a bundle of which nothing is read. */
export function describeBundle({ base, parameters, bytes }: ServedBundle): string {
  return [base, parameters && `${shortCount(parameters)} parameters`, bytes && shortBytes(bytes)]
    .filter((part) => part)
    .join(', ');
}

/** The bundle that serves a file or folder, or will at the first request: that of the innermost repository around it. */
export function bundleOf(file: string, served: readonly ServedBundle[]): ServedBundle | undefined {
  return served
    .filter(({ workspaceFolder }) => workspaceFolder && isAtOrBelow(file, workspaceFolder))
    .reduce<ServedBundle | undefined>(
      (best, one) => ((one.workspaceFolder ?? '').length > (best?.workspaceFolder ?? '').length ? one : best),
      undefined,
    );
}

function isAtOrBelow(one: string, folder: string): boolean {
  const relative = path.relative(folder, one);
  return relative !== '..' && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative);
}

/** As the system compares paths: on Windows in either case. */
export function isSameFolder(one: string, other: string): boolean {
  return path.relative(one, other) === '';
}
