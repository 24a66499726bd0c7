// Notices where the cursor rests without typing, so that the server can read the text around it. Free of VS Code.

const REST_MS = 100; // an arrow key that is held down moves faster

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

  /** Note a new place of the cursor. If the document has changed too, that was typing, and a request follows. */
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
