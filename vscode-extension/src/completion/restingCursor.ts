// Where the cursor has come to rest without typing, so that the server can read what is around it. Free of VS Code.

const REST_MS = 100; // the arrow key that is held down moves faster

export interface CursorPlace {
  readonly uri: string;
  readonly version: number;
  readonly line: number;
  readonly character: number;
}

export class RestingCursor {
  private timer: NodeJS.Timeout | undefined;
  private last: CursorPlace | undefined;

  constructor(private readonly send: (place: CursorPlace) => void) {}

  /** The cursor is somewhere else; where the document has changed as well, that was typing, and a request follows. */
  moved(place: CursorPlace): void {
    const isTyped = this.last?.uri === place.uri && this.last.version !== place.version;
    this.last = place;
    clearTimeout(this.timer);
    if (!isTyped) {
      this.timer = setTimeout(() => {
        this.send(place);
      }, REST_MS);
    }
  }

  dispose(): void {
    clearTimeout(this.timer);
  }
}
