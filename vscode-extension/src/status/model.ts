// The one place that holds the state; whoever learns something updates it, whoever shows something listens.

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
