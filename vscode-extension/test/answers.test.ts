import { beforeEach, expect, test, vi } from 'vitest';

import { StatusModel } from '../src/status/model';
import { explainLast } from '../src/views/answers';

const around = vi.hoisted(() => ({ shown: [] as unknown[][], executed: [] as string[] }));
vi.mock('vscode', async () => ({
  EventEmitter: (await import('./doubles.js')).Emitter,
  commands: { executeCommand: (command: string) => Promise.resolve(void around.executed.push(command)) },
  window: {
    showInformationMessage: (...args: unknown[]) => {
      around.shown.push(args);
      return Promise.resolve(args[1]);
    },
  },
}));

beforeEach(() => {
  Object.assign(around, { shown: [], executed: [] });
});

test('without a server, the state is shown, with a button that helps', async () => {
  const status = new StatusModel();
  status.update({ phase: 'failed', problem: 'why' });
  await explainLast({} as never, status, undefined, {} as never);
  const text = "submodel can't answer: the server is not running: why.";
  expect(around.shown).toEqual([[text, 'Restart the Server']]);
  expect(around.executed).toEqual(['submodel.restart']);
  status.update({ phase: 'starting', problem: undefined });
  await explainLast({} as never, status, undefined, {} as never);
  expect(around.shown[1]).toEqual(["submodel can't answer: starting the server."]);
});
