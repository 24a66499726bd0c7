// A code-server with the packaged extension in it, on a free port of this machine.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as path from 'node:path';

import { CODE_SERVER, OUT, SUBMODEL, VSIX } from './places.mjs';

const QUIET = {
  'submodel.experimental': {
    // A busy machine takes longer than a user would wait, and no test is about time.
    trigger: { budgetMs: 20000 },
    // The tests' bundle is seldom right: built in a minute, of the smallest base, without tuning.
    threshold: { confidence: 0 },
  },
  'editor.autoIndent': 'none',
  'editor.minimap.enabled': false,
  'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
  'editor.autoClosingBrackets': 'never',
  'editor.autoClosingQuotes': 'never',
  'extensions.autoCheckUpdates': false,
  'extensions.autoUpdate': false,
  'extensions.ignoreRecommendations': true,
  'git.openRepositoryInParentFolders': 'never',
  'telemetry.telemetryLevel': 'off',
  'typescript.disableAutomaticTypeAcquisition': true,
  'update.mode': 'none',
  'window.restoreWindows': 'none',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
};

const BASE = 'submodel.build.base';

interface Beside {
  readonly isTrusting?: boolean; // every workspace
  readonly beside?: readonly string[]; // ids of extensions, of which only the names are there
}

export class CodeServer {
  private constructor(
    readonly url: string,
    readonly root: string,
    private readonly process: ChildProcess,
  ) {}

  static async start(
    name: string,
    settings: Readonly<Record<string, unknown>>,
    { isTrusting = true, beside = [] }: Beside = {},
  ): Promise<CodeServer> {
    const root = path.join(OUT, 'servers', name);
    fs.rmSync(root, { recursive: true, force: true });
    const [data, extensions, config] = [
      path.join(root, 'data'),
      path.join(root, 'extensions'),
      path.join(root, 'none.yaml'),
    ];
    const folders = ['--user-data-dir', data, '--extensions-dir', extensions, '--config', config];
    fs.mkdirSync(path.join(data, 'User'), { recursive: true });
    fs.writeFileSync(config, '');
    // Paths and base models belong to the machine that the extension runs on, as over SSH.
    const { [BASE]: base, ...ofUser } = settings;
    fs.writeFileSync(path.join(data, 'User', 'settings.json'), JSON.stringify({ ...QUIET, ...ofUser }));
    const ofMachine = { 'submodel.path': SUBMODEL, [BASE]: base }; // JSON leaves out what is undefined
    fs.mkdirSync(path.join(data, 'Machine'));
    fs.writeFileSync(path.join(data, 'Machine', 'settings.json'), JSON.stringify(ofMachine));
    beside.forEach((id) => makeEmptyExtension(extensions, id));
    const entry = path.join(CODE_SERVER, 'out', 'node', 'entry.js');
    execFileSync(process.execPath, [entry, ...folders, '--install-extension', VSIX], { stdio: 'pipe' });

    const port = await freePort();
    const log = fs.openSync(path.join(root, 'log.txt'), 'w');
    const options = [
      '--auth',
      'none',
      '--bind-addr',
      `127.0.0.1:${port}`,
      '--disable-telemetry',
      '--disable-update-check',
    ];
    const server = spawn(
      process.execPath,
      [entry, ...options, ...folders, ...(isTrusting ? ['--disable-workspace-trust'] : [])],
      { stdio: ['ignore', log, log] },
    );
    const url = `http://127.0.0.1:${port}`;
    await untilServed(`${url}/healthz`, server);
    return new CodeServer(url, root, server);
  }

  get pid(): number {
    return this.process.pid!;
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) {
      return; // it has ended by itself
    }
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGTERM');
    await ended;
  }
}

function makeEmptyExtension(extensions: string, id: string): void {
  const [publisher, name] = id.split('.');
  const folder = path.join(extensions, `${id}-1.0.0`);
  const manifest = {
    publisher,
    name,
    version: '1.0.0',
    engines: { vscode: '^1.91.0' },
    activationEvents: ['*'],
    main: './main.js',
  };
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
  fs.writeFileSync(path.join(folder, 'main.js'), 'exports.activate = () => undefined;');
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = net.createServer().on('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as net.AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

async function untilServed(url: string, server: ChildProcess): Promise<void> {
  while (server.exitCode === null) {
    if (
      await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      )
    ) {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`code-server ended with ${server.exitCode}`);
}
