// What the server speaks beyond LSP (docs/protocol.md), as far as we read it. Any key may be missing: servers differ in age.

import type { LanguageClient } from 'vscode-languageclient/node';

export const STATUS_METHOD = 'submodel/status';
export const CURSOR_METHOD = 'submodel/cursor';
export const EXPLAIN_METHOD = 'submodel/explain';
export const STATISTICS_COMMAND = 'submodel.statistics';

const METHOD_NOT_FOUND = -32601;

/** As far as we read it. */
export interface ServedBundle {
  readonly folder?: string;
  readonly state?: string;
  readonly error?: string | null;
  readonly build?: string | null;
}

export interface ServerStatus {
  readonly state?: 'starting' | 'loading' | 'ready' | 'unloaded' | 'paused' | 'snoozed' | 'disabled' | 'failed';
  readonly message?: string;
  readonly bundles?: readonly ServedBundle[];
  readonly threads?: number | null;
  readonly memoryBytes?: number | null;
  readonly power?: { readonly policy?: 'full' | 'saving' | 'off'; readonly onBattery?: boolean | null };
}

/** The answer, or undefined where this version of the server does not know the method. */
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

/** The command's result, or undefined where this version of the server does not offer it. */
export async function executeIfKnown(client: LanguageClient, command: string): Promise<unknown> {
  const known = client.initializeResult?.capabilities.executeCommandProvider?.commands ?? [];
  return known.includes(command)
    ? await client.sendRequest('workspace/executeCommand', { command, arguments: [] })
    : undefined;
}
