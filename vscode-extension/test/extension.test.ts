import * as fs from 'node:fs';
import * as path from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';

import { activate } from '../src/extension';
import { RUNNING_OPTIONS } from '../src/server/options';

type Change = (event: { affectsConfiguration: (name: string) => boolean }) => void;

const { around, idle } = vi.hoisted(() => {
  const around = { done: [] as string[], tellOfChange: (() => undefined) as Change };
  /** A class, a function and an event that do nothing, and so do all their parts. */
  const nothing: unknown = new Proxy(vi.fn(), {
    apply: () => nothing,
    construct: () => nothing as object,
    get: () => nothing,
  });
  const idle = (...names: string[]): object => Object.fromEntries(names.map((name) => [name, nothing]));
  return { around, idle };
});

vi.mock('vscode', () => ({
  ...idle('commands', 'window'),
  workspace: {
    ...idle('onDidChangeWorkspaceFolders', 'onDidGrantWorkspaceTrust'),
    onDidChangeConfiguration: (listener: Change) => {
      around.tellOfChange = listener;
    },
  },
}));
vi.mock('../src/server/controller', () => ({
  ServerController: class {
    readonly onNoBundle = (): void => undefined;
    readonly onNoExecutable = (): void => undefined;
    readonly onFoundExecutable = (): void => undefined;
    readonly onUntrusted = (): void => undefined;
    readonly onGaveUp = (): void => undefined;
    readonly onMessage = (): void => undefined;
    readonly restart = (): void => void around.done.push('restart');
    readonly followOptions = (): void => void around.done.push('follow');
  },
}));
vi.mock('../src/build/command', () => idle('BuildCommand'));
vi.mock('../src/build/task', () => idle('registerTaskProvider'));
vi.mock('../src/bundle/choice', () => idle('chooseBundle'));
vi.mock('../src/completion/ask', () => idle('suggestHere'));
vi.mock('../src/completion/cursor', () => idle('followCursor'));
vi.mock('../src/completion/snooze', () => idle('Snooze'));
vi.mock('../src/completion/suggestions', () => idle('Suggestions'));
vi.mock('../src/executable/python', () => idle('onDidSelectInterpreter'));
vi.mock('../src/logger', () => idle('createLogger'));
vi.mock('../src/onboarding/context', () => idle('followState', 'followWalkthrough', 'openWalkthrough', 'setContext'));
vi.mock('../src/onboarding/offers', () => idle('Offers', 'tellUntrusted'));
vi.mock('../src/onboarding/otherExtensions', () => idle('noteOtherExtensions'));
vi.mock('../src/server/messages', () => idle('ServerMessages'));
vi.mock('../src/status/items', () => idle('createStatusItems'));
vi.mock('../src/status/menu', () => idle('showMenu'));
vi.mock('../src/status/model', () => idle('StatusModel'));
vi.mock('../src/status/switches', () => idle('toggleEnabled', 'toggleLanguage'));
vi.mock('../src/views/answers', () => idle('explainLast', 'showStatistics'));
vi.mock('../src/views/pages', () => idle('Pages'));
vi.mock('../src/views/report', () => idle('openReport'));

/** What the controller does once a setting has changed. */
function change(name: string): string[] {
  around.done = [];
  around.tellOfChange({ affectsConfiguration: (asked) => asked === `submodel.${name}` });
  return around.done;
}

beforeEach(() => {
  activate({ subscriptions: [] } as never);
  expect(around.done.splice(0)).toEqual(['restart']); // the window has opened
});

test('the settings that the README names restart the server, and it takes the other options while it runs', () => {
  const root = path.join(__dirname, '..');
  const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
  const sentence = /only ([^.]*(?:\.\w[^.]*)*) restart it\./.exec(readme.replaceAll('\n', ' '))![1]!;
  const named = [...sentence.matchAll(/`submodel\.([\w.]+)`/g)].map(([, name]) => name!);
  expect(named).toContain('threads');
  const manifest = fs.readFileSync(path.join(root, 'package.json'), 'utf8');
  const settings = new Set([...manifest.matchAll(/^ +"submodel\.([\w.]+)": \{$/gm)].map(([, name]) => name!));
  expect([...settings]).toEqual(expect.arrayContaining([...named, ...RUNNING_OPTIONS]));
  for (const name of settings) {
    const done = named.includes(name) ? ['restart'] : RUNNING_OPTIONS.includes(name) ? ['follow'] : [];
    expect([name, change(name)]).toEqual([name, done]);
  }
});
