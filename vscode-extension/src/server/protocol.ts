// What the server speaks beyond LSP (docs/protocol.md), as far as we read it. Any key may be missing: servers differ in age.

import type { LanguageClient } from 'vscode-languageclient/node';

import type * as documents from '../documents';

export const STATUS_METHOD = 'submodel/status';
export const CHANGED_OPTIONS_METHOD = 'workspace/didChangeConfiguration'; // of LSP
export const CHANGED_FILES_METHOD = 'workspace/didChangeWatchedFiles'; // of LSP
export const FILE_CHANGED = 2; // FileChangeType.Changed
export const CURSOR_METHOD = 'submodel/cursor';
export const EXPLAIN_METHOD = 'submodel/explain';
export const STATISTICS_COMMAND = 'submodel.statistics';
export const SNOOZE_COMMAND = 'submodel.snooze';
export const RESUME_COMMAND = 'submodel.resume';

export const ANSWER_MS = 10_000; // a server that stands still must hold up neither a user nor the jobs behind, such as its restart

const METHOD_NOT_FOUND = -32601;

export type ServedBundle = Partial<documents.ServedBundle>;

export type ServerStatus = Partial<Omit<documents.ServerStatus, 'bundles' | 'power'>> & {
  readonly bundles?: readonly ServedBundle[];
  readonly power?: Partial<documents.PowerFacts>;
};

/** The answer; undefined if this version of the server does not know the method. */
export async function requestIfKnown<T>(
  client: LanguageClient,
  method: string,
  params: unknown,
): Promise<T | undefined> {
  try {
    return await client.sendRequest<T>(method, params);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === METHOD_NOT_FOUND) {
      return undefined;
    }
    throw error;
  }
}

/** The command's result; undefined if this version of the server does not offer the command. */
export async function executeIfKnown(
  client: LanguageClient,
  command: string,
  ...args: readonly unknown[]
): Promise<unknown> {
  const known = client.initializeResult?.capabilities.executeCommandProvider?.commands ?? [];
  return known.includes(command)
    ? await client.sendRequest('workspace/executeCommand', { command, arguments: args })
    : undefined;
}
