import { expect, test, vi } from 'vitest';

import { RunningServer, announcesOurs, setsFolders } from '../src/server/launch';

vi.mock('vscode', () => ({
  Uri: { parse: (uri: string) => uri },
  workspace: {
    getConfiguration: (_section: string, scope: string) => ({ get: () => !scope.endsWith('off') }),
  },
}));
vi.mock('vscode-languageclient/node', () => ({
  LanguageClient: class {
    readonly state = 0;
  },
}));

test('the server gets no folder whose suggestions are off', () => {
  const params = { workspaceFolders: ['/a', '/off'].map((path) => ({ uri: `file://${path}`, name: path })) };
  setsFolders.fillInitializeParams?.(params as never);
  expect(params.workspaceFolders.map(({ uri }) => uri)).toEqual(['file:///a']);
  const none = { workspaceFolders: null };
  setsFolders.fillInitializeParams?.(none as never);
  expect(none.workspaceFolders).toBeNull();
});

test('the server shows no progress of its own beside the status bar', () => {
  const capabilities = { window: { workDoneProgress: true, showDocument: {} }, experimental: { other: true } };
  announcesOurs.fillClientCapabilities(capabilities as never);
  expect(capabilities).toEqual({
    window: { workDoneProgress: false, showDocument: {} },
    experimental: { other: true, submodelStatus: true, submodelIndentation: true, submodelSnippets: true },
  });
});

test('a server that does not stop is killed, though VS Code has closed the log', async () => {
  const child = { kill: vi.fn() };
  const client = { stop: () => Promise.reject(new Error('timed out')) };
  const warn = (): void => {
    throw new Error('Channel has been closed');
  };
  const server = Object.create(RunningServer.prototype) as RunningServer;
  Object.assign(server, { client, log: { warn }, child, watcher: { dispose: () => undefined } });
  await expect(server.stop()).rejects.toThrow('closed');
  expect(child.kill).toHaveBeenCalledWith('SIGKILL');
});
