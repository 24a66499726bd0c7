// What the server speaks beyond LSP (docs/protocol.md), as far as we read it. Any key may be missing: servers differ in age.

import type { LanguageClient } from 'vscode-languageclient/node';

import type * as documents from '../documents';

export const STATUS_METHOD = 'submodel/status';
export const CHANGED_OPTIONS_METHOD = 'workspace/didChangeConfiguration'; // of LSP
export const CURSOR_METHOD = 'submodel/cursor';
export const EXPLAIN_METHOD = 'submodel/explain';
export const STATISTICS_COMMAND = 'submodel.statistics';
export const SNOOZE_COMMAND = 'submodel.snooze';
export const RESUME_COMMAND = 'submodel.resume';

export const ANSWER_MS = 10_000; // a server that stands still must hold up neither a user nor the jobs behind, such as its restart

export type ServedBundle = Partial<documents.ServedBundle>;

export type ServerStatus = Partial<Omit<documents.ServerStatus, 'bundles' | 'power'>> & {
  readonly bundles?: readonly ServedBundle[];
  readonly power?: Partial<documents.PowerFacts>;
};

/** The result of one of the server's own commands. */
export function execute(client: LanguageClient, command: string, ...args: readonly unknown[]): Promise<unknown> {
  return client.sendRequest('workspace/executeCommand', { command, arguments: args });
}
