import { beforeEach, expect, test, vi } from 'vitest';

import { BuildCommand } from '../src/build/command';
import { StatusModel } from '../src/status/model';
import { SILENT } from './doubles';

const around = vi.hoisted(() => ({
  isTrusted: true,
  isWorse: false,
  chosen: undefined as string | undefined,
  restarts: 0,
  answers: [] as (string | undefined)[], // to the messages, in their order
  told: [] as string[],
  offered: [] as unknown[], // beside the last message: its buttons
  executed: [] as unknown[][],
  reports: [] as object[],
  picks: 0,
  opened: [] as string[],
  isTaskRunning: false,
  onOpened: (): void => undefined,
  terminal: {},
  open: (): Promise<unknown> => Promise.resolve(), // the terminal of the task, as VS Code does
}));
const tell = vi.hoisted(() => async (text: string, ...offered: unknown[]) => {
  around.told.push(text);
  around.offered = offered;
  await new Promise((resolve) => setTimeout(resolve, 0)); // nobody answers at once
  return around.answers.shift();
});
vi.mock('vscode', async () => ({
  Disposable: { from: () => ({ dispose: () => undefined }) },
  EventEmitter: (await import('./doubles.js')).Emitter,
  ProgressLocation: {},
  commands: { executeCommand: (...args: unknown[]) => Promise.resolve(void around.executed.push(args)) },
  tasks: { executeTask: () => Promise.resolve() },
  window: {
    showErrorMessage: tell,
    showInformationMessage: tell,
    showWarningMessage: tell,
    withProgress: (_options: unknown, run: (progress: object, token: object) => unknown) =>
      run(
        { report: (step: object) => around.reports.push(step) },
        { onCancellationRequested: () => ({ dispose: () => undefined }) },
      ),
  },
  workspace: {
    get isTrusted() {
      return around.isTrusted;
    },
  },
}));
vi.mock('../src/build/task', () => ({
  createTask: (_folder: unknown, _definition: unknown, open: () => Promise<unknown>) => {
    around.open = open;
  },
  isTaskRunning: () => around.isTaskRunning,
  openBuildTerminal: ({ repository }: { readonly repository: string }) => {
    around.opened.push(repository);
    around.onOpened();
    return Promise.resolve(around.terminal);
  },
  openTaskTerminal: ({ repository }: { readonly repository: string }) => Promise.resolve(`a new one of ${repository}`),
  BUILD: {},
}));
vi.mock('../src/bundle/choice', () => ({ chosenBundle: () => around.chosen }));
vi.mock('../src/views/report', () => ({ isWorseThanBase: () => Promise.resolve(around.isWorse) }));
const TARGET = { repository: '/a/b', folder: { name: 'a', uri: { fsPath: '/a' } } };
vi.mock('../src/build/target', () => ({
  nameOf: () => 'b',
  pickTarget: () => {
    around.picks += 1;
    return Promise.resolve(TARGET);
  },
}));

/** A terminal whose command ends with a code, or once it is stopped. */
function makeTerminal(code: number | undefined, progress: readonly object[] = []): object {
  let settle: (code: number) => void = () => undefined;
  const exitCode = new Promise<number>((resolve) => (settle = resolve));
  if (code !== undefined) {
    settle(code);
  }
  const terminal = {
    wasStopped: false,
    tail: '',
    exitCode,
    onProgress: (listener: (now: object) => void) => {
      progress.forEach(listener);
    },
    stop: () => {
      terminal.wasStopped = true;
      settle(130);
    },
  };
  return terminal;
}

const BUSY = 4_000; // ms that a busy machine may take
let status: StatusModel;
let builds: BuildCommand;

beforeEach(() => {
  Object.assign(around, { isTrusted: true, answers: [], told: [], executed: [], reports: [], picks: 0, opened: [] });
  Object.assign(around, { isTaskRunning: false, onOpened: () => undefined, isWorse: false, chosen: undefined });
  around.restarts = 0;
  status = new StatusModel();
  const controller = { restart: () => Promise.resolve(void (around.restarts += 1)) };
  builds = new BuildCommand(controller, status, () => undefined, SILENT);
});

test('who builds in a workspace that is not trusted is led to the trust', async () => {
  Object.assign(around, { isTrusted: false, answers: ['Manage Workspace Trust'] });
  await builds.run();
  expect(around.executed).toEqual([['workbench.trust.manage']]);
});

test('"Try Again" asks for no repository', async () => {
  Object.assign(around, { terminal: makeTerminal(1), answers: ['Try Again'] });
  await builds.run();
  await vi.waitFor(() => {
    expect(around.told).toHaveLength(2);
  }, BUSY);
  expect([around.picks, around.opened]).toEqual([1, ['/a/b', '/a/b']]);
});

test('the report that is opened after a build is that of the repository', async () => {
  Object.assign(around, { terminal: makeTerminal(0), answers: ['Open the Report'] });
  await builds.run();
  await vi.waitFor(() => {
    expect(around.executed).toEqual([['submodel.openReport', '/a/b']]);
  }, BUSY);
});

test('the progress grows by what is done of the whole', async () => {
  const stages = [undefined, 0.1, 0.4, 0.3].map((share) => ({
    kind: 'stage',
    state: 'running',
    stage: 'prune',
    ...(share === undefined ? {} : { total_share: share }),
  }));
  around.terminal = makeTerminal(0, stages);
  await builds.run();
  const increments = around.reports.map((step) => ('increment' in step ? Math.round(step.increment as number) : 0));
  expect(increments).toEqual([0, 10, 30, 0]);
});

test('a build that is stopped from the menu ends', async () => {
  around.terminal = makeTerminal(undefined);
  const running = builds.run();
  await vi.waitFor(() => {
    expect(status.snapshot).toMatchObject({ building: 'building' });
  }, BUSY);
  builds.stop();
  await running;
  expect(status.snapshot.building).toBeUndefined();
});

test('a task that begins elsewhere while the executable is looked for ends the command', async () => {
  around.terminal = makeTerminal(undefined); // VS Code never opens it
  around.onOpened = () => {
    around.isTaskRunning = true;
  };
  await builds.run();
  expect(around.told).toEqual(['A sub-model is being built already.']);
  expect(around.terminal).toMatchObject({ wasStopped: true });
  expect(status.snapshot.building).toBeUndefined();
});

test('a task that is rerun from its terminal gets a new one', async () => {
  around.terminal = makeTerminal(0);
  await builds.run();
  expect(await around.open()).toBe(around.terminal);
  expect(await around.open()).toBe('a new one of /a/b');
  expect(await around.open()).toBe('a new one of /a/b');
});

test('a build that ends well restarts the server, and says what is served and how good it is', async () => {
  around.terminal = makeTerminal(0);
  await builds.run();
  Object.assign(around, { chosen: '/elsewhere', isWorse: true });
  await builds.run();
  expect(around.restarts).toBe(2);
  expect(around.told).toEqual([
    'The sub-model is built.',
    expect.stringMatching(/built\. The setting submodel\.bundle names another bundle.* is significantly worse than/),
  ]);
});
