import { beforeEach, expect, test, vi } from 'vitest';

import { FailedUpdates } from '../src/build/due';
import { ServerMessages } from '../src/server/messages';
import type { ServerStatus } from '../src/server/protocol';
import { makeMemory, SILENT } from './doubles';

interface Around {
  warnings: string[];
  settings: Record<string, unknown>;
  answer: string | undefined;
  done: unknown[];
}

const around = vi.hoisted((): Around => ({ warnings: [], settings: {}, answer: undefined, done: [] }));
vi.mock('../src/bundle/trust', async (original) => ({
  ...(await original<object>()),
  trustBundle: (...facts: unknown[]) => Promise.resolve(void around.done.push(['trust', ...facts])),
}));
vi.mock('vscode', () => ({
  Uri: { file: (path: string) => path },
  commands: { executeCommand: (...command: unknown[]) => Promise.resolve(void around.done.push(command)) },
  window: {
    showWarningMessage: (text: string, ...buttons: string[]) => {
      around.warnings.push(text);
      return Promise.resolve(buttons.find((button) => button === around.answer));
    },
  },
  workspace: {
    getConfiguration: () => ({
      get: (name: string, standard: unknown) => around.settings[name] ?? standard,
      inspect: () => undefined,
    }),
  },
}));

const COMMAND = 'submodel update /a';
const UNTRUSTED = {
  folder: '/b/.submodel/bundle',
  build: 'b1',
  state: 'untrusted',
  error: 'The bundle /b/.submodel/bundle was not built by this account; run `submodel trust /b/.submodel/bundle`.',
} as const;
const STALE = {
  workspaceFolder: '/a',
  build: 'b0',
  drift: { files: 10, changed: 3, added: 0, removed: 0, share: 0.3, isStale: true, command: COMMAND },
};

let memory: ReturnType<typeof makeMemory>;
let failures: FailedUpdates;
let status: ServerStatus;
let messages: ServerMessages;

beforeEach(() => {
  memory = makeMemory();
  failures = new FailedUpdates(memory);
  Object.assign(around, { warnings: [], settings: {}, answer: undefined, done: [] });
  status = { bundles: [STALE, UNTRUSTED] };
  openWindow();
});

/** A window of the same workspace. */
function openWindow(): void {
  const controller = {
    readStatus: () => Promise.resolve(status),
    restart: () => Promise.resolve(void around.done.push('restart')),
  };
  const { folder, build } = UNTRUSTED;
  const snapshot = { executable: '/bin/submodel', untrusted: { folder, build } };
  messages = new ServerMessages(controller, { snapshot } as never, failures, memory as never, SILENT);
}

const warn = (text: string): Promise<void> => messages.show({ text, isProblem: true });

test('a message is shown once, and again after a restart by the user', async () => {
  await warn('It is damaged. Then run the command submodel.reload.');
  await warn('It is damaged. Then run the command submodel.reload.');
  expect(around.warnings).toEqual(['It is damaged. Then run the command "submodel: Restart the Server".']);
  messages.forget();
  await warn('It is damaged. Then run the command submodel.reload.');
  expect(around.warnings).toHaveLength(2);
});

test('a message about a bundle is news once that bundle was trusted', async () => {
  await warn(UNTRUSTED.error);
  await messages.trustUntrusted();
  await warn(UNTRUSTED.error); // another account has replaced it
  expect(around.warnings).toEqual([UNTRUSTED.error, UNTRUSTED.error]);
});

test('a button trusts exactly the build that the message is about, and the server is restarted', async () => {
  around.answer = 'Trust This Bundle';
  await warn(`submodel: ${UNTRUSTED.error}`);
  const { folder, build } = UNTRUSTED;
  expect(around.done).toEqual([['trust', '/bin/submodel', { folder, build }], 'restart']);
});

test('a button updates the repository that has drifted', async () => {
  around.answer = 'Update';
  await warn(`3 of 10 files have changed; run \`${COMMAND}\`.`);
  expect(around.done).toEqual([['submodel.update', '/a']]);
});

test('with automatic updates, drift is a message once such an update has failed', async () => {
  around.settings = { 'update.automatic': true };
  await warn(`3 of 10 files have changed; run \`${COMMAND}\`.`);
  expect(around.warnings).toEqual([]);
  await failures.note({ repository: '/a', build: 'b0' }, 'no memory');
  await warn(`3 of 10 files have changed; run \`${COMMAND}\`.`);
  expect(around.warnings).toHaveLength(1);
});

test('a drift that was withheld is a message once updates are no longer automatic, if it is still there', async () => {
  around.settings = { 'update.automatic': true };
  await warn(`3 of 10 files have changed; run \`${COMMAND}\`.`);
  await messages.showWithheld();
  expect(around.warnings).toEqual([]);
  around.settings = {};
  await messages.showWithheld();
  await messages.showWithheld();
  expect(around.warnings).toHaveLength(1);
  around.settings = { 'update.automatic': true };
  await warn(`4 of 10 files have changed; run \`${COMMAND}\`.`);
  around.settings = {};
  status = { bundles: [] };
  await messages.showWithheld();
  expect(around.warnings).toHaveLength(1);
});

test('where suggestions are off, drift is no message', async () => {
  around.settings = { enabled: false };
  await warn(`3 of 10 files have changed; run \`${COMMAND}\`.`);
  expect(around.warnings).toEqual([]);
});

test('drift is shown once a build in all windows, and again after a restart by the user', async () => {
  for (const files of [10, 11]) {
    openWindow();
    await warn(`3 of ${files} files have changed; run \`${COMMAND}\`.`);
  }
  expect(around.warnings).toHaveLength(1);
  status = { bundles: [{ ...STALE, build: 'b1' }] };
  await warn(`4 of 11 files have changed; run \`${COMMAND}\`.`);
  expect(around.warnings).toHaveLength(2);
  messages.forget();
  await warn(`4 of 11 files have changed; run \`${COMMAND}\`.`);
  expect(around.warnings).toHaveLength(3);
});
