// Asks a program for its version. Free of VS Code.

import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

import { childEnvironment } from './environment';

const TIMEOUT_MS = 30_000; // a cold disk and a busy machine; Python alone takes a second there

export type Probe = { readonly version: string } | { readonly problem: string; readonly isMissing: boolean };

export function probeVersion(command: string): Promise<Probe> {
  if (!path.isAbsolute(command)) {
    // The system would complete it with the current folder, which may be a stranger's.
    return Promise.resolve({ problem: 'it is neither an absolute path nor a program in PATH', isMissing: true });
  }
  const env = childEnvironment(process.env, process.platform);
  return new Promise((resolve) => {
    const note = (error: Error | null, stdout: string, stderr: string): void => {
      if (error) {
        const isUnstarted = 'code' in error && error.code === 'ENOENT';
        if (isUnstarted && existsSync(command)) {
          // A script whose `#!` names a Python that was removed or replaced.
          resolve({ problem: 'the Python that it names is gone; install submodel again', isMissing: false });
          return;
        }
        const said = stderr.trim().split('\n').at(-1) ?? '';
        resolve({
          problem: isUnstarted ? 'there is no such program' : said || error.message,
          isMissing: isUnstarted,
        });
        return;
      }
      const version = readVersion(stdout);
      resolve(
        version === undefined
          ? { problem: `it answers --version with ${JSON.stringify(stdout.slice(0, 80))}`, isMissing: false }
          : { version },
      );
    };
    try {
      execFile(command, ['--version'], { timeout: TIMEOUT_MS, windowsHide: true, cwd: os.homedir(), env }, note);
    } catch (error) {
      // Node throws for what no system can start: a path with a NUL, and a .cmd on Windows.
      resolve({ problem: error instanceof Error ? error.message : String(error), isMissing: false });
    }
  });
}

/** The version in `submodel 0.1.0`; undefined for the output of another program. */
export function readVersion(output: string): string | undefined {
  return /^submodel (\d+\.\S+)\s*$/m.exec(output)?.[1];
}
