// The one log of the extension: what it does, and what the server says on stderr.

import * as vscode from 'vscode';

export type Logger = vscode.LogOutputChannel;

export function createLogger(): Logger {
  return vscode.window.createOutputChannel('submodel', { log: true });
}

/** An error as one line for the log or the user. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
