import { expect, test, vi } from 'vitest';

import { BuildTerminal } from '../src/build/terminal';

const written = vi.hoisted(() => vi.fn());
vi.mock('vscode', () => ({
  EventEmitter: class {
    readonly event = (): void => undefined;
    readonly fire = written;
  },
}));

function run(script: string, command = '/bin/sh', option = '-c'): BuildTerminal {
  const terminal = new BuildTerminal(command, [option, script, '--'], '/');
  terminal.open(undefined);
  return terminal;
}

test('what the system ends is no interrupt', async () => {
  const terminal = run('kill -9 $$');
  expect(await terminal.exitCode).toBe(137);
  expect(terminal).toMatchObject({ signal: 'SIGKILL', wasStopped: false });
});

test('the user stops it by an interrupt', async () => {
  const terminal = run('setTimeout(() => undefined, 30_000)', process.execPath, '-e'); // a shell may miss an early one
  terminal.stop();
  expect(await terminal.exitCode).toBe(130);
  expect(terminal.wasStopped).toBe(true);
});

test('the tail is what the command has printed, not the command', async () => {
  const terminal = run('echo "its sentence" >&2; exit 2');
  expect(await terminal.exitCode).toBe(2);
  expect(terminal.signal).toBeUndefined();
  expect(terminal.tail).toBe('its sentence\n');
});

test('nothing that a terminal obeys comes from a name', async () => {
  const hostile = 'a\u001b]0;owned\u0007\u001b[2K\r\u009b1m\u202eb';
  written.mockClear();
  const message = JSON.stringify({ kind: 'message', text: hostile });
  const terminal = run(`echo '${message.replaceAll('\\', '\\\\')}' >&2 # ${hostile}`);
  await terminal.exitCode;
  await run('', hostile).exitCode; // there is no such command
  const shown = written.mock.calls.map(([text]) => String(text)).join('');
  expect(shown.match(/a\?\]0;owned/g)).toHaveLength(4);
  expect(shown.replaceAll('\r\u001b[2K', '').replaceAll('\r\n', '')).not.toMatch(/\p{C}/u);
});
