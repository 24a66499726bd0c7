// When an update that nobody has asked for may begin, when it stands still, and when it ends. Free of VS Code.

const BEGIN_MS = 60_000; // without a key
const GO_ON_MS = 10_000;
const STILL_MS = 900_000; // then an update that stands still ends: it holds gigabytes, and its repository's lock
const ASLEEP_MS = 30_000; // between two looks, which come every few seconds

export class Pace {
  private lastKeyMs: number;
  private lookedAtMs: number;
  private stillSinceMs: number | undefined;

  constructor(private readonly now: () => number = Date.now) {
    this.lastKeyMs = now();
    this.lookedAtMs = now();
  }

  /**
   * To be called every few seconds. After a sleep somebody may have woken the machine to work. A clock that was set back
   * counts as one.
   */
  noteLook(): void {
    const sinceMs = this.now() - this.lookedAtMs;
    if (sinceMs < 0 || sinceMs > ASLEEP_MS) {
      this.noteKey();
    }
    if (sinceMs < 0 && this.stillSinceMs !== undefined) {
      this.stillSinceMs = this.now();
    }
    this.lookedAtMs = this.now();
  }

  /** The update stands still, or goes on, or there is none. */
  noteStill(isStill: boolean): void {
    this.stillSinceMs = isStill ? (this.stillSinceMs ?? this.now()) : undefined;
  }

  isStillTooLong(): boolean {
    return this.stillSinceMs !== undefined && this.now() - this.stillSinceMs >= STILL_MS;
  }

  noteKey(): void {
    this.lastKeyMs = this.now();
  }

  mayBegin(): boolean {
    return this.now() - this.lastKeyMs >= BEGIN_MS;
  }

  mayGoOn(): boolean {
    return this.now() - this.lastKeyMs >= GO_ON_MS;
  }
}
