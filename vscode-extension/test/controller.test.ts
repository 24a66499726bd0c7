import { beforeEach, expect, test, vi } from 'vitest';

import { ServerController } from '../src/server/controller';
import type { LaunchSettings } from '../src/server/launch';
import type { ServerStatus } from '../src/server/protocol';
import { StatusModel } from '../src/status/model';
import { makeMemory, SILENT } from './doubles';

interface Around {
  isTrusted: boolean;
  hasOurs: boolean; // a folder .submodel
  settings: Record<string, unknown>;
  found: object;
  launched: unknown[];
  mayActivate: unknown[];
  status: object;
  isEnding: boolean; // the server answers no more
  isStill: boolean; // it never answers, as one that is stopped
  isHanging: boolean; // it does not even start
  notified: unknown[];
  asked: unknown[]; // of the server, by the names of its commands
  end: (how: string) => void; // of the newest server
  tell: (status: ServerStatus) => void; // of the newest server
}

const around = vi.hoisted((): Around => ({
  isTrusted: true,
  hasOurs: true,
  settings: {},
  found: {},
  launched: [],
  mayActivate: [],
  status: {},
  isEnding: false,
  isStill: false,
  isHanging: false,
  notified: [],
  asked: [],
  end: () => undefined,
  tell: () => undefined,
}));

vi.mock('vscode', async () => ({
  EventEmitter: (await import('./doubles.js')).Emitter,
  Uri: { file: (path: string) => path },
  workspace: {
    get isTrusted() {
      return around.isTrusted;
    },
    getConfiguration: () => ({
      get: (name: string, standard: unknown) => around.settings[name] ?? standard,
      inspect: (name: string) => ({
        globalValue: around.settings[name],
        defaultValue: { eagerness: 'normal', 'trigger.comments': true }[name],
      }),
    }),
  },
}));
vi.mock('../src/executable/find', () => ({
  findExecutable: (_settings: unknown, _log: unknown, mayActivate: unknown) => {
    around.mayActivate.push(mayActivate);
    return Promise.resolve(around.found);
  },
}));
vi.mock('../src/bundle/choice', () => ({
  chosenBundle: () => around.settings['bundle'],
  holds: () => Promise.resolve(around.hasOurs),
}));
vi.mock('../src/server/launch.js', () => ({
  RunningServer: class {
    readonly isRunning = !around.isHanging;
    private fail: (error: Error) => void = () => undefined;
    readonly kill = (): void => {
      this.fail(new Error('it ended with SIGKILL'));
    };
    readonly client = {
      onNotification: (_method: string, listener: Around['tell']) => {
        around.tell = listener;
      },
      sendRequest: (_method: string, { command }: { command?: string }) => {
        if (command !== undefined) {
          around.asked.push(command);
        }
        return around.isStill
          ? new Promise(() => undefined)
          : around.isEnding
            ? Promise.reject(new Error('closed'))
            : Promise.resolve(around.status);
      },
      sendNotification: (...message: unknown[]) => Promise.resolve(void around.notified.push(message)),
    };
    readonly onDidEnd = (listener: (how: string) => void): void => {
      around.end = listener;
    };
    readonly start = (): Promise<void> =>
      this.isRunning
        ? Promise.resolve()
        : new Promise((_, reject) => {
            this.fail = reject;
            setTimeout(() => {
              reject(new Error('no answer within 120 s'));
            }, 120_000);
          });
    readonly stop = (): Promise<void> => Promise.resolve();
    constructor(settings: unknown) {
      around.launched.push(settings);
    }
  },
}));

const EXECUTABLE = { command: '/bin/submodel', version: '0.1.0', source: 'PATH' };
const NONE: ServerStatus = { state: 'failed', message: 'No bundle.', bundles: [] };
let memory: ReturnType<typeof makeMemory>;
let status: StatusModel;
let controller: ServerController;

beforeEach(() => {
  memory = makeMemory();
  Object.assign(around, {
    isTrusted: true,
    hasOurs: true,
    settings: {},
    found: { executable: EXECUTABLE },
    launched: [],
    mayActivate: [],
    status: {},
    isEnding: false,
    isStill: false,
    isHanging: false,
    notified: [],
    asked: [],
  });
  openWindow();
});

/** A window of the same workspace, with a controller of its own. */
function openWindow(): void {
  status = new StatusModel();
  controller = new ServerController(status, undefined as never, memory as never, SILENT);
}

test('who looks for the program in an untrusted workspace hears that nothing is looked for there', async () => {
  around.isTrusted = false;
  let heard = 0;
  controller.onUntrusted(() => (heard += 1));
  await controller.restart('the settings have changed');
  expect(heard).toBe(0);
  await controller.restartAsAsked();
  expect([heard, around.mayActivate, status.snapshot.phase]).toEqual([1, [], 'untrusted']);
});

test('what a server has sent before it died changes nothing', async () => {
  await controller.restart('a');
  around.tell({ state: 'ready' });
  expect(status.snapshot.phase).toBe('ready');
  around.end('exit code 1');
  around.tell({ state: 'ready' });
  expect(status.snapshot.phase).toBe('recovering');
  await controller.stop();
});

test('a snooze that a server no longer hears of holds', async () => {
  await controller.restart('a');
  around.isEnding = true;
  const until = new Date(Date.now() + 60_000);
  await controller.snooze(until);
  expect(status.snapshot.snoozedUntil).toBe(until);
  await controller.stop();
});

test('a snooze holds after the window was reloaded, until it is over or ended', async () => {
  const until = new Date(Date.now() + 60_000);
  await controller.snooze(until);
  openWindow();
  expect(status.snapshot.snoozedUntil).toEqual(until);
  await controller.restart('the window has opened');
  expect(around.asked).toEqual(['submodel.snooze']);
  await controller.snooze(undefined);
  openWindow();
  expect(status.snapshot.snoozedUntil).toBeUndefined();
  await memory.update('snoozedUntil', Date.now() - 1);
  openWindow();
  await controller.restart('the window has opened');
  expect([status.snapshot.snoozedUntil, around.asked]).toEqual([undefined, ['submodel.snooze', 'submodel.resume']]);
});

test('what the server says to the user is passed on, and is no problem of the server', async () => {
  const heard: unknown[] = [];
  controller.onMessage((message) => heard.push(message));
  await controller.restart('a');
  const { onMessage } = around.launched.at(-1) as LaunchSettings;
  onMessage('3 of 10 files have changed.', true);
  expect(heard).toEqual([{ text: '3 of 10 files have changed.', isProblem: true }]);
  expect(status.snapshot.problem).toBeUndefined();
});

test('a server that stands still holds up no restart', async () => {
  vi.useFakeTimers();
  try {
    around.isStill = true;
    await controller.snooze(new Date(Date.now() + 3_600_000));
    const starting = controller.restart('a');
    await vi.advanceTimersByTimeAsync(1); // it is at work
    const restarting = controller.restartAsAsked();
    await vi.advanceTimersByTimeAsync(60_000);
    await Promise.all([starting, restarting]);
    expect(around.launched).toHaveLength(2);
    await controller.stop();
  } finally {
    vi.useRealTimers();
  }
});

test('a server that hangs at its start holds up neither a restart nor an end', async () => {
  vi.useFakeTimers();
  try {
    around.isHanging = true;
    const starting = controller.restart('a');
    await vi.advanceTimersByTimeAsync(1);
    expect(around.launched).toHaveLength(1);
    around.settings = { enabled: false };
    await Promise.all([starting, controller.restart('it was turned off')]); // with no time gone
    expect(status.snapshot.phase).toBe('disabled');
    around.settings = {};
    const another = controller.restart('it was turned on');
    await vi.advanceTimersByTimeAsync(1);
    await Promise.all([another, controller.stop()]);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(around.launched).toHaveLength(2); // its end was no crash
  } finally {
    vi.useRealTimers();
  }
});

test('no server is started once another restart waits', async () => {
  let another: Promise<void> | undefined;
  status.onDidChange(({ phase }) => {
    if (phase === 'starting') {
      another ??= controller.restart('b');
    }
  });
  await controller.restart('a');
  await another;
  expect(around.launched).toHaveLength(1);
});

test('a server that hangs at each start is given up', async () => {
  vi.useFakeTimers();
  try {
    let times = 0;
    controller.onGaveUp(() => (times += 1));
    around.isHanging = true;
    void controller.restart('a');
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect([around.launched.length, times, status.snapshot.phase]).toEqual([6, 1, 'failed']);
  } finally {
    vi.useRealTimers();
  }
});

test('a server that died is started again, unless it was turned off meanwhile', async () => {
  vi.useFakeTimers();
  try {
    await controller.restart('a');
    around.end('SIGKILL');
    await vi.advanceTimersByTimeAsync(1);
    expect(around.launched).toHaveLength(2);
    around.settings = { enabled: false };
    around.end('SIGKILL');
    const turningOff = controller.restart('the settings have changed');
    vi.runAllTimers(); // the restart is at work
    await turningOff;
    await vi.advanceTimersByTimeAsync(1);
    expect(around.launched).toHaveLength(2);
    expect(status.snapshot.phase).toBe('disabled');
  } finally {
    vi.useRealTimers();
  }
});

test('a server that runs takes the options that it takes, also those that are set no longer', async () => {
  around.settings = { threads: 2, 'trigger.comments': false };
  await controller.restart('a');
  around.settings = { threads: 2, eagerness: 'quiet', 'trigger.comments': null };
  await controller.followOptions();
  around.settings = { eagerness: null };
  await controller.followOptions();
  around.settings = { 'trigger.comments': false };
  await controller.followOptions();
  const sent = (options: object): unknown[] => [
    'workspace/didChangeConfiguration',
    { settings: { submodel: options } },
  ];
  expect(around.notified).toEqual([
    sent({ eagerness: 'quiet', trigger: { comments: true } }),
    sent({ eagerness: 'normal', trigger: { comments: true } }),
    sent({ eagerness: 'normal', trigger: { comments: false } }),
  ]);
  expect(around.launched).toHaveLength(1);
});

test('options that change while a server starts reach it once it runs, and without a server nobody', async () => {
  await controller.followOptions();
  expect(around.launched).toEqual([]);
  const starting = controller.restart('a');
  around.settings = { eagerness: 'eager' };
  await Promise.all([starting, controller.followOptions()]);
  expect(around.notified).toHaveLength(1);
  await controller.restart('b');
  expect(around.launched.at(-1)).toMatchObject({ initializationOptions: { eagerness: 'eager' } });
});

test('a start that fails in an unforeseen way is told in the status, and can be tried again', async () => {
  around.found = Promise.reject(new Error('EACCES'));
  await controller.restart('a');
  expect(status.snapshot).toMatchObject({ phase: 'failed', problem: 'EACCES' });
  around.found = { executable: EXECUTABLE };
  await controller.restartForOtherExecutable('the window has the focus again');
  expect(around.launched).toHaveLength(1);
});

test('who looks for the program without a bundle hears what was found', async () => {
  around.status = NONE;
  const heard: unknown[] = [];
  controller.onFoundExecutable((found) => heard.push(found));
  controller.onNoExecutable((missing) => heard.push(missing));
  controller.onNoBundle(() => heard.push(status.snapshot.executable));
  await controller.restart('the settings have changed');
  expect([status.snapshot.phase, ...heard]).toEqual(['no-bundle', EXECUTABLE.command]);
  await controller.restartAsAsked();
  around.found = { problem: 'It is nowhere.' };
  await controller.restartAsAsked();
  const { command, version } = EXECUTABLE;
  expect(heard.slice(1)).toEqual([
    { command, version },
    { problem: 'It is nowhere.', isAsked: true },
  ]);
});

test('a missing program is named where something of ours is, and elsewhere a build is offered', async () => {
  around.found = { problem: 'It is nowhere.' };
  const heard: unknown[] = [];
  controller.onNoExecutable(({ problem }) => heard.push(problem));
  controller.onNoBundle(() => heard.push('no bundle'));
  await controller.restart('a');
  around.hasOurs = false;
  await controller.restart('b');
  around.settings = { bundle: '/elsewhere' };
  await controller.restart('c');
  expect(heard).toEqual(['It is nowhere.', 'no bundle', 'It is nowhere.']);
  expect(around.mayActivate).toEqual([true, false, true]);
});

test('a chosen bundle is passed on, also in a workspace that is not trusted, and one that appears is shown', async () => {
  Object.assign(around, { isTrusted: false, settings: { bundle: '/chosen' }, status: NONE });
  await controller.restart('a');
  expect(around.launched).toMatchObject([{ initializationOptions: { bundle: '/chosen' } }]);
  expect(status.snapshot).toMatchObject({ phase: 'no-bundle', isChosen: true });
  around.tell({ state: 'ready', bundles: [{ folder: '/chosen', state: 'ready' }] });
  expect(status.snapshot).toMatchObject({ phase: 'ready', served: [{ folder: '/chosen' }] });
});

test('folders that come or go restart no server that runs, unless suggestions are off in all that stay', async () => {
  await controller.followFolders();
  await controller.followFolders();
  expect(around.launched).toHaveLength(1);
  around.settings = { enabled: false };
  await controller.followFolders();
  expect(status.snapshot.phase).toBe('disabled');
});
