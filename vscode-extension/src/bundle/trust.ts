// A bundle that another account built: which one a message is about, and `submodel trust`. Free of VS Code.

import { execFile } from 'node:child_process';
import * as os from 'node:os';

import { childEnvironment } from '../executable/environment';
import type { ServedBundle } from '../server/protocol';

const TIMEOUT_MS = 120_000; // every file is hashed, on a cold disk

export interface UntrustedBundle {
  readonly folder: string;
  readonly build: string | undefined; // undefined: its bundle.json can't be read
}

/** The untrusted bundle that the server's message is about; undefined for any other message. */
export function untrustedIn(message: string, bundles: readonly ServedBundle[]): UntrustedBundle | undefined {
  const found = bundles.find(({ state, error }) => state === 'untrusted' && error && message.endsWith(error));
  return found?.folder === undefined ? undefined : { folder: found.folder, build: found.build ?? undefined };
}

/** Put exactly this build on this account's list; raises with the program's message if it refuses. */
export function trustBundle(command: string, { folder, build }: UntrustedBundle): Promise<void> {
  const args = ['trust', folder, ...(build === undefined ? [] : ['--build', build])];
  const env = childEnvironment(process.env, process.platform);
  return new Promise((resolve, reject) => {
    const options = { timeout: TIMEOUT_MS, windowsHide: true, cwd: os.homedir(), env };
    execFile(command, args, options, (error, _stdout, stderr) => {
      if (error) {
        reject(new Error(stderr.trim().split('\n').at(-1) || error.message));
      } else {
        resolve();
      }
    });
  });
}
