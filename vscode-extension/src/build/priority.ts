// The priority of a build. Free of VS Code.

import { writeFileSync } from 'node:fs';
import * as os from 'node:os';

const LOWEST_NICE = '19';
// Of all programs without CAP_SYS_ADMIN together, Linux takes one such number in 100 ms. The others get EAGAIN.
const RETRY_MS = 150;
const MOST_TRIES = 20;

/** Let everything else go first: the editor, and the server that answers while the model learns. */
export function giveWay(pid: number): void {
  try {
    const { PRIORITY_BELOW_NORMAL, PRIORITY_LOW } = os.constants.priority;
    // Windows gives the lowest class nothing while anything else runs.
    os.setPriority(pid, process.platform === 'win32' ? PRIORITY_BELOW_NORMAL : PRIORITY_LOW);
  } catch {
    return; // it has just ended
  }
  if (process.platform === 'linux') {
    lowerSession(pid, MOST_TRIES);
  }
}

/** The child has a session of its own, and a priority counts within a session alone (sched(7), autogroup). */
function lowerSession(pid: number, tries: number): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, LOWEST_NICE);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN' && tries > 1) {
      setTimeout(() => {
        lowerSession(pid, tries - 1);
      }, RETRY_MS).unref();
    }
    // else it has just ended, or the system has no such groups
  }
}
