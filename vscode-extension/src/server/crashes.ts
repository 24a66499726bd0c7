// Decides when a server that died is started again. Free of VS Code.

const WINDOW_MS = 3 * 60_000;
const DELAYS_MS = [0, 100, 500, 2_000, 10_000]; // the first at once: someone is typing

export class CrashPolicy {
  private times: number[] = [];

  /** Note a death at `now`; return the delay before the next start, or undefined to give up. */
  delayAfterCrash(now: number): number | undefined {
    this.times = this.times.filter((time) => now - time < WINDOW_MS);
    const delay = DELAYS_MS[this.times.length];
    this.times.push(now);
    return delay;
  }

  /** Count anew, since the user has asked for a start. */
  forget(): void {
    this.times = [];
  }
}
