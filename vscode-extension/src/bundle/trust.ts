// A bundle that another account built: which one a message is about, and `submodel trust`. Free of VS Code.

import { execFile } from 'node:child_process';

import type { ServedBundle } from '../server/protocol';

const TIMEOUT_MS = 120_000; // every file is hashed, on a cold disk

/** The folder of the untrusted bundle that the server's message is about; undefined for any other message. */
export function untrustedIn(message: string, bundles: readonly ServedBundle[]): string | undefined {
  return bundles.find(({ state, error }) => state === 'untrusted' && error && message.endsWith(error))?.folder;
}

/** Put a bundle on the list of this account; raises with what the program says where it refuses. */
export function trustBundle(command: string, folder: string): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(command, ['trust', folder], { timeout: TIMEOUT_MS, windowsHide: true }, (error, _stdout, stderr) => {
      if (error) {
        reject(new Error(stderr.trim().split('\n').at(-1) || error.message));
      } else {
        resolve();
      }
    });
  });
}
