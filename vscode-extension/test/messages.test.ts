import { beforeEach, expect, test, vi } from 'vitest';

import { ServerMessages } from '../src/server/messages';
import type { ServerStatus } from '../src/server/protocol';
import { SILENT } from './doubles';

interface Around {
  warnings: string[];
  answer: string | undefined;
  done: unknown[];
}

const around = vi.hoisted((): Around => ({ warnings: [], answer: undefined, done: [] }));
vi.mock('../src/bundle/trust', async (original) => ({
  ...(await original<object>()),
  trustBundle: (...facts: unknown[]) => Promise.resolve(void around.done.push(['trust', ...facts])),
}));
vi.mock('vscode', () => ({
  commands: { executeCommand: (...command: unknown[]) => Promise.resolve(void around.done.push(command)) },
  window: {
    showWarningMessage: (text: string, ...buttons: string[]) => {
      around.warnings.push(text);
      return Promise.resolve(buttons.find((button) => button === around.answer));
    },
  },
}));

const UNTRUSTED = {
  folder: '/b/.submodel/bundle',
  build: 'b1',
  state: 'untrusted',
  error: 'The bundle /b/.submodel/bundle was not built by this account; run `submodel trust /b/.submodel/bundle`.',
} as const;
const status: ServerStatus = { bundles: [{ folder: '/a/.submodel/bundle', state: 'ready' }, UNTRUSTED] };

let messages: ServerMessages;

beforeEach(() => {
  Object.assign(around, { warnings: [], answer: undefined, done: [] });
  const controller = {
    readStatus: () => Promise.resolve(status),
    restart: () => Promise.resolve(void around.done.push('restart')),
  };
  const { folder, build } = UNTRUSTED;
  const snapshot = { executable: '/bin/submodel', untrusted: { folder, build } };
  messages = new ServerMessages(controller, { snapshot } as never, SILENT);
});

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

test('a button builds where the server says so', async () => {
  around.answer = 'Build';
  await warn('The sub-model of /a is 40 days old; run `submodel build /a`.');
  await warn('The sub-model of /b was pulled 40 days ago; run `submodel pull https://models/ /b`.');
  expect(around.done).toEqual([['submodel.build']]);
  expect(around.warnings).toHaveLength(2);
});
