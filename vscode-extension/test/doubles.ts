// What stands in for parts of VS Code in more than one test.

export class Emitter {
  private readonly listeners: ((value: unknown) => void)[] = [];

  readonly event = (listener: (value: unknown) => void): void => void this.listeners.push(listener);

  fire(value: unknown): void {
    this.listeners.forEach((listener) => {
      listener(value);
    });
  }
}

/** A logger that says nothing. */
export const SILENT = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
} as never;

interface Memory {
  readonly get: (key: string, standard?: unknown) => unknown;
  readonly update: (key: string, value: unknown) => Promise<void>;
}

/** The memory of a workspace, or of all: a `vscode.Memento`, which holds JSON. */
export function makeMemory(): Memory {
  const kept = new Map<string, string>();
  return {
    get: (key, standard) => (kept.has(key) ? (JSON.parse(kept.get(key)!) as unknown) : standard),
    update: (key, value) => {
      if (value === undefined) {
        kept.delete(key);
      } else {
        kept.set(key, JSON.stringify(value));
      }
      return Promise.resolve();
    },
  };
}
