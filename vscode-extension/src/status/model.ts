// The one place that holds the state. Parts that learn something update it; parts that show it listen.

import * as vscode from 'vscode';

import { INITIAL, type Snapshot } from './state';

export class StatusModel implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Snapshot>();
  readonly onDidChange = this.changed.event;
  private current = INITIAL;

  get snapshot(): Snapshot {
    return this.current;
  }

  update(change: Partial<Snapshot>): void {
    this.current = { ...this.current, ...change };
    this.changed.fire(this.current);
  }

  dispose(): void {
    this.changed.dispose();
  }
}
