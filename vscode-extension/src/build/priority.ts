// The priority of a build or an update. Free of VS Code.

import { writeFileSync } from 'node:fs';
import * as os from 'node:os';

const LOWEST_NICE = '19';

/** Let everything else go first: the editor, and the server that answers while the model learns. */
export function giveWay(pid: number): void {
  try {
    os.setPriority(pid, os.constants.priority.PRIORITY_LOW);
    if (process.platform === 'linux') {
      // The child has a session of its own, and a priority counts within a session alone (sched(7), autogroup).
      writeFileSync(`/proc/${pid}/autogroup`, LOWEST_NICE);
    }
  } catch {
    // it has just ended, or the system has no such groups
  }
}
