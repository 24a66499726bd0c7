// The processes that the extension has started. Linux only, as are these tests.

import * as fs from 'node:fs';

const TICKS_A_SECOND = 100; // of /proc on every Linux of today

/** The newest server below `ancestor` that was started after `since` (as Date.now); one editor is open at a time. */
export function findServer(ancestor: number, since: number): number | undefined {
  return findProcess(ancestor, since, 'serve', '--stdio');
}

/** The newest process below `ancestor` that was started after `since` with these words among its arguments. */
export function findProcess(ancestor: number, since: number, ...words: string[]): number | undefined {
  const bootedAt = Date.now() - 1000 * Number(fs.readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  let newest: { pid: number; startedAt: number } | undefined;
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      const [state, ...fields] = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
      const startedAt = bootedAt + (1000 * Number(fields[18])) / TICKS_A_SECOND; // the 22nd field of all
      const isOne = words.every((word) => command.includes(word)) && state !== 'Z';
      if (isOne && isBelow(ancestor, Number(pid)) && startedAt > since && startedAt > (newest?.startedAt ?? 0)) {
        newest = { pid: Number(pid), startedAt };
      }
    } catch {
      // it ended meanwhile
    }
  }
  return newest?.pid;
}

function isBelow(ancestor: number, pid: number): boolean {
  let parent = numbersOf(pid)?.[1];
  while (parent !== undefined && parent !== 0 && parent !== ancestor) {
    parent = numbersOf(parent)?.[1];
  }
  return parent === ancestor;
}

/** /proc/<pid>/stat from the third field on, the state, which is no number; undefined once the process has ended. */
function numbersOf(pid: number): number[] | undefined {
  try {
    const [state, ...fields] = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
    return state === 'Z' ? undefined : [NaN, ...fields.map(Number)];
  } catch {
    return undefined;
  }
}
