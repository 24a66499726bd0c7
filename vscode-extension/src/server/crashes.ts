// Decides when a server that died is started again. Free of VS Code.

const LONG_MS = 3 * 60_000; // who lived for so long was well; one that hangs at its start is ended before
const DELAYS_MS = [0, 100, 500, 2_000, 10_000]; // the first at once: someone is typing

export class CrashPolicy {
  private deaths = 0; // in a row, of servers that did not live long

  /** Note the death of a server that lived for `livedMs`; return the delay before the next start, or undefined to give up. */
  delayAfterCrash(livedMs: number): number | undefined {
    if (livedMs >= LONG_MS) {
      this.deaths = 0;
    }
    const delay = DELAYS_MS[this.deaths];
    this.deaths += 1;
    return delay;
  }

  /** Count anew, since the user has asked for a start. */
  forget(): void {
    this.deaths = 0;
  }
}
