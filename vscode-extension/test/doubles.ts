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
