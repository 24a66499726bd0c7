// Jobs one after the other, in the order that they came in. Free of VS Code.

export class JobQueue {
  private last: Promise<unknown> = Promise.resolve();
  private readonly waiting = new Map<string, Promise<unknown>>();

  /** Run `job` after all that came before. Only the caller sees its failure. */
  push<T>(job: () => Promise<T>): Promise<T> {
    const result = this.last.then(job);
    this.last = result.catch(() => undefined);
    return result;
  }

  /** As `push`, but if a job of the same name still waits, return that one. */
  pushOnce(name: string, job: () => Promise<void>): Promise<void> {
    const waiting = this.waiting.get(name);
    if (waiting) {
      return waiting as Promise<void>;
    }
    const result = this.push(async () => {
      this.waiting.delete(name); // it begins: a later call wants another run
      await job();
    });
    this.waiting.set(name, result);
    return result;
  }

  /** Whether a job of this name waits for those before it. */
  isWaiting(name: string): boolean {
    return this.waiting.has(name);
  }
}
