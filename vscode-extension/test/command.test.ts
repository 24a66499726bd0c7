import { beforeEach, expect, test, vi } from 'vitest';

import { BuildCommand } from '../src/build/command';
import { FailedUpdates } from '../src/build/due';
import { StatusModel } from '../src/status/model';
import { makeMemory, SILENT } from './doubles';

const around = vi.hoisted(() => ({
  isTrusted: true,
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
  taskDefinition: () => ({}),
}));
vi.mock('../src/bundle/bundles', async (original) => ({
  ...(await original<object>()),
  readBundle: () => Promise.resolve(graphs.length > 0 ? { graphs: graphs.shift() } : undefined),
}));
const TARGET = { repository: '/a/b', folder: { name: 'a', uri: { fsPath: '/a' } } };
vi.mock('../src/build/target', () => ({
  findBuilt: () => Promise.resolve(TARGET),
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
    open: () => undefined,
    standStill: () => undefined,
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
const BUILT = { repository: '/a/b', build: 'b0' };
const EARLIER = '/a/b/.submodel/previous/2026-01-01T00-00-00-000Z';
let picked: string | undefined; // by the user
let graphs: string[]; // of the repository's own bundle, before and after a task; none: it stays
let status: StatusModel;
let failures: FailedUpdates;
let builds: BuildCommand;

beforeEach(() => {
  Object.assign(around, { isTrusted: true, answers: [], told: [], executed: [], reports: [], picks: 0, opened: [] });
  Object.assign(around, { isTaskRunning: false, onOpened: () => undefined });
  failures = new FailedUpdates(makeMemory());
  picked = undefined;
  graphs = [];
  const bundles = {
    repositoriesBelow: () => Promise.resolve([]),
    picked: () => picked,
    forgetPick: () => {
      const wasPicked = picked !== undefined;
      picked = undefined;
      return Promise.resolve(wasPicked);
    },
  } as never;
  const controller = { restartForNewBundle: () => Promise.resolve() } as never;
  status = new StatusModel();
  builds = new BuildCommand(bundles, controller, status, failures, () => undefined, SILENT);
});

test('who builds in a workspace that is not trusted is led to the trust', async () => {
  Object.assign(around, { isTrusted: false, answers: ['Manage Workspace Trust'] });
  await builds.run('build');
  expect(around.executed).toEqual([['workbench.trust.manage']]);
});

test('"Try Again" asks for no repository', async () => {
  Object.assign(around, { terminal: makeTerminal(1), answers: ['Try Again'] });
  await builds.run('build');
  await vi.waitFor(() => {
    expect(around.told).toHaveLength(2);
  }, BUSY);
  expect([around.picks, around.opened]).toEqual([1, ['/a/b', '/a/b']]);
});

test.each([
  ['It was built by version 1; run `submodel build /a/b --minutes 20`, which makes a new model.', 'Build'],
  ['It has no record of what it has learned; run `submodel build` with the options of your last build.', 'Build'],
  ['git does not list the files now. `submodel build` would read all files.', 'Try Again'],
])('what a failed update offers: %s', async (problem, button) => {
  Object.assign(around, { terminal: { ...makeTerminal(1), tail: `submodel: ${problem}` }, answers: [undefined] });
  await builds.run('update');
  await vi.waitFor(() => {
    expect(around.answers).toEqual([]);
  }, BUSY);
  expect(around.offered[0]).toBe(button);
});

test('the report that is opened after a build is that of the repository', async () => {
  Object.assign(around, { terminal: makeTerminal(0), answers: ['Open the Report'] });
  await builds.run('build');
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
  await builds.run('build');
  const increments = around.reports.map((step) => ('increment' in step ? Math.round(step.increment as number) : 0));
  expect(increments).toEqual([0, 10, 30, 0]);
});

test('an update that began by itself and is stopped by the user is left for a day', async () => {
  around.terminal = makeTerminal(undefined);
  const running = builds.updateByItself(BUILT);
  await vi.waitFor(() => {
    expect(around.opened).toHaveLength(1);
  }, BUSY);
  expect(status.snapshot).toMatchObject({ building: 'update', isTask: false });
  await builds.stop();
  await running;
  expect(failures.has(BUILT)).toBe(true);
  expect(around.told).toEqual([expect.stringMatching(/^The update was stopped/)]);
});

test('an update that began by itself and had to wait has not failed', async () => {
  around.terminal = makeTerminal(75);
  expect(await builds.updateByItself(BUILT)).toBe('notNow');
  expect([failures.has(BUILT), around.told]).toEqual([false, []]);
  around.terminal = makeTerminal(1);
  expect(await builds.updateByItself(BUILT)).toEqual({ problem: 'submodel update ended with exit code 1.' });
  expect(failures.has(BUILT)).toBe(true);
  around.terminal = makeTerminal(0);
  expect(await builds.updateByItself(BUILT)).toBe('done');
  expect(failures.has(BUILT)).toBe(false);
});

test('an update that is asked for while the automatic one ends begins after it', async () => {
  const ending = makeTerminal(undefined) as { stop: () => void };
  const stop = ending.stop;
  ending.stop = () => undefined; // its process takes a while to end
  around.terminal = ending;
  const byItself = builds.updateByItself(BUILT);
  await vi.waitFor(() => {
    expect(around.opened).toHaveLength(1);
  }, BUSY);
  const stopping = builds.stop();
  around.terminal = makeTerminal(0);
  const asked = builds.run('update');
  await new Promise((resolve) => setTimeout(resolve, 20)); // it has picked the repository, and waits
  expect(around.told).toEqual([]);
  stop();
  await Promise.all([byItself, stopping, asked]);
  expect(around.opened).toHaveLength(2);
});

test('a build that is stopped from the menu ends', async () => {
  around.terminal = makeTerminal(undefined);
  const running = builds.run('build');
  await vi.waitFor(() => {
    expect(status.snapshot).toMatchObject({ building: 'building', isTask: true });
  }, BUSY);
  await builds.stop();
  await running;
  expect(status.snapshot.building).toBeUndefined();
});

test('a task that begins elsewhere while the executable is looked for ends the command', async () => {
  around.terminal = makeTerminal(undefined); // VS Code never opens it
  around.onOpened = () => {
    around.isTaskRunning = true;
  };
  await builds.run('build');
  expect(around.told).toEqual(['A sub-model is being built or updated already.']);
  expect(around.terminal).toMatchObject({ wasStopped: true });
  expect(status.snapshot.building).toBeUndefined();
});

test('a task that is rerun from its terminal gets a new one', async () => {
  around.terminal = makeTerminal(0);
  await builds.run('build');
  expect(await around.open()).toBe(around.terminal);
  expect(await around.open()).toBe('a new one of /a/b');
  expect(await around.open()).toBe('a new one of /a/b');
});

test.each([
  ['an earlier bundle of it', EARLIER, undefined, 0],
  ['an earlier bundle of it, and wants the update', EARLIER, 'Update', 1],
  ['another bundle', '/elsewhere/bundle', undefined, 1],
  ['no bundle', undefined, undefined, 1],
])('an update of a user who has picked %s', async (_, folder, answer, begun) => {
  const isAsked = folder === EARLIER;
  picked = folder;
  Object.assign(around, { terminal: makeTerminal(0), answers: [answer] });
  await builds.run('update');
  expect([around.opened.length, picked]).toEqual([begun, folder]); // the old model stays
  expect(around.told.includes('Update the newer sub-model?')).toBe(isAsked);
});

test('that the pick is served no longer is said', async () => {
  picked = '/elsewhere/bundle';
  graphs = ['first', 'second'];
  around.terminal = makeTerminal(0);
  await builds.run('update');
  expect(picked).toBeUndefined();
  const told = 'The sub-model is updated. The new bundle is served in place of the one that you had picked.';
  expect(around.told).toEqual([told]);
});
