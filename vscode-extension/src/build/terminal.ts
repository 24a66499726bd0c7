// A terminal that runs `submodel build` as a child process: it shows the progress, and can interrupt it.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import * as os from 'node:os';
import * as path from 'node:path';
import * as readline from 'node:readline';
import * as vscode from 'vscode';

import type { BuildProgress } from '../documents';
import { childEnvironment, proxyEnvironment } from '../executable/environment';
import { printable } from '../plainText';
import { readProxy } from '../settings';
import { giveWay } from './priority';
import { describeProgress, readProgress } from './progress';

const PATIENCE_MS = 15_000; // a stage notices an interrupt at its next step
const TAIL = 4_000; // characters kept for the message about a failure
const CLEAR_LINE = '\r\u001b[2K'; // overwrites the line of a running stage

const running = new Set<BuildTerminal>(); // whoever has started them

export class BuildTerminal implements vscode.Pseudoterminal {
  private readonly written = new vscode.EventEmitter<string>();
  private readonly closed = new vscode.EventEmitter<number>();
  private readonly progressed = new vscode.EventEmitter<BuildProgress>();
  readonly onDidWrite = this.written.event;
  readonly onDidClose = this.closed.event;
  readonly onProgress = this.progressed.event;
  readonly exitCode: Promise<number>;
  private settle: (code: number) => void = () => undefined;
  private child: ChildProcess | undefined;
  private endedBy: NodeJS.Signals | undefined;
  private isStopped = false;
  private kept = '';

  constructor(
    private readonly command: string,
    private readonly args: readonly string[],
    private readonly cwd: string,
  ) {
    this.exitCode = new Promise((resolve) => {
      this.settle = resolve;
    });
  }

  /** The end of what was printed. */
  get tail(): string {
    return this.kept;
  }

  /** What the system ended it with; undefined if it ended by itself. */
  get signal(): string | undefined {
    return this.endedBy;
  }

  get wasStopped(): boolean {
    return this.isStopped;
  }

  open(size: vscode.TerminalDimensions | undefined): void {
    if (this.isStopped) {
      this.closed.fire(130); // nobody listened yet when it was stopped
      return;
    }
    const args = [...this.args, '--progress', 'json'];
    this.written.fire(`${printable([this.command, ...args].join(' ').replaceAll('\n', ' '))}\r\n`);
    const { proxy, noProxy } = readProxy();
    const child = spawn(this.command, args, {
      cwd: this.cwd,
      detached: process.platform !== 'win32', // a separate process group, which an interrupt reaches as a whole
      windowsHide: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...childEnvironment(process.env, process.platform),
        ...proxyEnvironment(process.env, proxy, noProxy),
        COLUMNS: String(Math.min(size?.columns ?? 100, 120)),
        PYTHONUNBUFFERED: '1',
      },
    });
    this.child = child;
    running.add(this);
    if (child.pid) {
      giveWay(child.pid);
    }
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.write(text);
    });
    readline.createInterface({ input: child.stderr }).on('line', (line) => {
      this.showLine(line);
    });
    child.on('error', (error) => {
      this.write(`submodel: ${error.message}\n`);
      this.finish(127);
    });
    child.on('close', (code, signal) => {
      this.endedBy = signal ?? undefined;
      this.finish(code ?? 128 + (signal ? os.constants.signals[signal] : 0)); // as a shell has it
    });
  }

  /** The user has closed the terminal or stopped the task. */
  close(): void {
    this.stop();
  }

  handleInput(data: string): void {
    if (data === '\u0003') {
      this.stop();
    }
  }

  stop(): void {
    const { child } = this;
    if (this.isStopped || (child && (child.exitCode ?? child.signalCode) !== null)) {
      return;
    }
    this.isStopped = true;
    if (!child?.pid) {
      this.finish(130); // nothing runs, and nothing else would end the wait for it
      return;
    }
    this.written.fire('\r\nStopping…\r\n');
    const { pid } = child;
    signal(pid, 'SIGINT');
    const timer = setTimeout(() => {
      signal(pid, 'SIGKILL');
    }, PATIENCE_MS);
    child.once('close', () => {
      clearTimeout(timer);
    });
  }

  private showLine(line: string): void {
    const progress = readProgress(line);
    if (!progress) {
      this.written.fire(CLEAR_LINE);
      this.write(`${line}\n`);
      return;
    }
    const text = printable(describeProgress(progress)); // JSON hides what a terminal obeys
    this.written.fire(`${CLEAR_LINE}${text.replaceAll('\n', '\r\n')}${progress.state === 'running' ? '' : '\r\n'}`);
    this.progressed.fire(progress);
  }

  /** What the command prints may hold names of files, which the terminal would obey. */
  private write(text: string): void {
    const shown = printable(text.replaceAll(/\r\n?/g, '\n').replaceAll('\t', '    '));
    this.kept = (this.kept + shown).slice(-TAIL);
    this.written.fire(shown.replaceAll('\n', '\r\n'));
  }

  private finish(code: number): void {
    running.delete(this);
    this.settle(code);
    this.closed.fire(code);
  }
}

/** Stop all as the window closes: they would keep the machine busy unseen. Their finished stages stay. */
export function stopAll(): void {
  running.forEach((terminal) => {
    terminal.stop();
  });
}

function signal(pid: number, name: 'SIGINT' | 'SIGKILL'): void {
  if (process.platform === 'win32') {
    const system = path.win32.join(process.env['SystemRoot'] ?? 'C:\\Windows', 'System32');
    execFile(path.win32.join(system, 'taskkill.exe'), ['/pid', String(pid), '/T', '/F'], () => undefined);
    return;
  }
  try {
    process.kill(-pid, name);
  } catch {
    // it has just ended
  }
}
