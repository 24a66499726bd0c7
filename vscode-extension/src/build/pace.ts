// When an update that nobody has asked for may begin, and when it stands still. Free of VS Code.

const BEGIN_MS = 60_000; // without a key
const GO_ON_MS = 10_000;

export class Pace {
  private lastKeyMs: number;

  constructor(private readonly now: () => number = Date.now) {
    this.lastKeyMs = now();
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
