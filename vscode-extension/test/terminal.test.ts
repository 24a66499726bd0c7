import { expect, test, vi } from 'vitest';

import { BuildTerminal } from '../src/build/terminal';

vi.mock('vscode', () => ({
  EventEmitter: class {
    readonly event = (): void => undefined;
    readonly fire = (): void => undefined;
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
