import { expect, test, vi } from 'vitest';

import { BuildTerminal, stopAll } from '../src/build/terminal';

const written = vi.hoisted(() => vi.fn());
const http = vi.hoisted((): Record<string, unknown> => ({}));
vi.mock('vscode', () => ({
  workspace: { getConfiguration: () => ({ get: (name: string, standard: unknown) => http[name] ?? standard }) },
  EventEmitter: class {
    readonly event = (): void => undefined;
    readonly fire = written;
  },
}));

/** Windows has no /bin/sh, and no interrupt that a command may heed. */
const testOnPosix = test.skipIf(process.platform === 'win32');

function run(script: string, command = '/bin/sh', option = '-c'): BuildTerminal {
  const terminal = new BuildTerminal(command, [option, script, '--'], '/');
  terminal.open(undefined);
  return terminal;
}

testOnPosix('what the system ends is no interrupt', async () => {
  const terminal = run('kill -9 $$');
  expect(await terminal.exitCode).toBe(137);
  terminal.close(); // the user closes what is left of it; its number may be another process' by now
  expect(terminal).toMatchObject({ signal: 'SIGKILL', wasStopped: false });
});

testOnPosix('the user stops it by an interrupt', async () => {
  const terminal = run('setTimeout(() => undefined, 30_000)', process.execPath, '-e'); // a shell may miss an early one
  terminal.stop();
  expect(await terminal.exitCode).toBe(130);
  expect(terminal.wasStopped).toBe(true);
});

testOnPosix('all that run are stopped, and none that has ended', async () => {
  const ended = run('exit 0');
  await ended.exitCode;
  const others = [1, 2].map(() => run('setTimeout(() => undefined, 30_000)', process.execPath, '-e'));
  stopAll();
  expect(await Promise.all(others.map(({ exitCode }) => exitCode))).toEqual([130, 130]);
  expect([ended, ...others].map(({ wasStopped }) => wasStopped)).toEqual([false, true, true]);
});

testOnPosix('the tail is what the command has printed, not the command', async () => {
  const terminal = run('echo "its sentence" >&2; exit 2');
  expect(await terminal.exitCode).toBe(2);
  expect(terminal.signal).toBeUndefined();
  expect(terminal.tail).toBe('its sentence\n');
});

testOnPosix('nothing that a terminal obeys comes from a name', async () => {
  const hostile = 'a\u001b]0;owned\u0007\u001b[2K\r\u009b1m\u202eb';
  written.mockClear();
  const message = JSON.stringify({ kind: 'message', text: hostile });
  const printed = "printf 'a\\033]0;owned\\007b\\tc\\r\\n'";
  const terminal = run(`echo '${message.replaceAll('\\', '\\\\')}' >&2; ${printed}; ${printed} >&2 # ${hostile}`);
  await terminal.exitCode;
  expect(terminal.tail).toBe('a?]0;owned?b    c\n'.repeat(2));
  await run('', hostile).exitCode; // there is no such command
  const shown = written.mock.calls.map(([text]) => String(text)).join('');
  expect(shown.match(/a\?\]0;owned/g)).toHaveLength(6);
  expect(shown.replaceAll('\r\u001b[2K', '').replaceAll('\r\n', '')).not.toMatch(/\p{C}/u);
});

test('stopped before it is open, it closes once it is', async () => {
  const terminal = new BuildTerminal('/bin/sh', ['-c', ''], '/');
  terminal.stop();
  written.mockClear(); // what was fired before reached nobody
  terminal.open(undefined);
  expect(written.mock.calls).toEqual([[130]]);
  expect(await terminal.exitCode).toBe(130);
});

testOnPosix("the editor's proxy is that of a build, unless the environment has one", async () => {
  for (const name of ['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY', 'all_proxy', 'NO_PROXY', 'no_proxy']) {
    vi.stubEnv(name, '');
  }
  Object.assign(http, { proxy: 'http://proxy:8080', noProxy: ['a.example', 'b.example'] });
  const printed = async (): Promise<string> => {
    const terminal = run('echo "$HTTPS_PROXY $NO_PROXY"');
    await terminal.exitCode;
    return terminal.tail.trim();
  };
  expect(await printed()).toBe('http://proxy:8080 a.example,b.example');
  http['proxySupport'] = 'off';
  expect(await printed()).toBe('');
  http['proxySupport'] = 'override';
  vi.stubEnv('HTTPS_PROXY', 'http://own');
  expect(await printed()).toBe('http://own');
  vi.unstubAllEnvs();
});
