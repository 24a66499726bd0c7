// The language server's process, found by the workspace that it was started in. Linux only, as are these tests.

import * as fs from 'node:fs';

export function findServer(workspace: string): number | undefined {
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (command.includes('serve') && fs.readlinkSync(`/proc/${pid}/cwd`) === workspace) {
        return Number(pid);
      }
    } catch {
      // it ended meanwhile, or is another user's
    }
  }
  return undefined;
}
