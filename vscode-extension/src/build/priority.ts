// The priority of a build or an update. Free of VS Code.

import { writeFileSync } from 'node:fs';
import * as os from 'node:os';

const LOWEST_NICE = '19';

/** Let everything else go first: the editor, and the server that answers while the model learns. */
export function giveWay(pid: number): void {
  try {
    const { PRIORITY_BELOW_NORMAL, PRIORITY_LOW } = os.constants.priority;
    // Windows gives the lowest class nothing while anything else runs.
    os.setPriority(pid, process.platform === 'win32' ? PRIORITY_BELOW_NORMAL : PRIORITY_LOW);
    if (process.platform === 'linux') {
      // The child has a session of its own, and a priority counts within a session alone (sched(7), autogroup).
      writeFileSync(`/proc/${pid}/autogroup`, LOWEST_NICE);
    }
  } catch {
    // it has just ended, or the system has no such groups
  }
}
