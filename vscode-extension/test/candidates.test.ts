import { expect, test } from 'vitest';

import { demandedCandidate, expand, listCandidates, type Surroundings } from '../src/executable/candidates';

const AROUND: Surroundings = {
  setting: '',
  environment: {},
  workspaceFolders: ['/work/app'],
  pythonExecutables: ['/envs/app/bin/python'],
  home: '/home/ada',
  platform: 'linux',
  isFile: () => Promise.resolve(false),
};

test('the order: the workspace, the selected environment, PATH, where tools are installed', async () => {
  expect((await listCandidates(AROUND)).map(({ command }) => command)).toEqual([
    '/work/app/.venv/bin/submodel',
    '/envs/app/bin/submodel',
    'submodel',
    '/home/ada/.local/bin/submodel',
  ]);
  expect((await listCandidates(AROUND)).some(({ isDemanded }) => isDemanded)).toBe(false);
});

test('the setting goes before the variable, and both before all that is found', async () => {
  const environment = { SUBMODEL_PATH: '/opt/submodel' };
  expect(await listCandidates({ ...AROUND, environment })).toMatchObject([
    { command: '/opt/submodel', isDemanded: true },
  ]);
  expect(await listCandidates({ ...AROUND, environment, setting: '~/bin/submodel' })).toMatchObject([
    { command: '/home/ada/bin/submodel', isDemanded: true },
  ]);
});

test('what the user names is known before the Python extension is asked', async () => {
  expect(await demandedCandidate(AROUND)).toBeUndefined();
  expect(await demandedCandidate({ ...AROUND, environment: { SUBMODEL_PATH: ' ' } })).toBeUndefined();
  const environment = { SUBMODEL_PATH: '~/submodel' };
  expect(await demandedCandidate({ ...AROUND, environment })).toMatchObject({ command: '/home/ada/submodel' });
  expect(await demandedCandidate({ ...AROUND, environment, setting: '/x' })).toMatchObject({ command: '/x' });
});

test('nothing of an untrusted workspace is looked at', async () => {
  const found = await listCandidates({ ...AROUND, workspaceFolders: [], pythonExecutables: [] });
  expect(found.map(({ source }) => source)).toEqual(['PATH', "the programs that 'uv tool' and pipx install"]);
});

test('an environment that is both selected and in the workspace is asked once', async () => {
  const found = await listCandidates({ ...AROUND, pythonExecutables: ['/work/app/.venv/bin/python'] });
  expect(found.filter(({ command }) => command === '/work/app/.venv/bin/submodel')).toHaveLength(1);
});

test('Windows has other names', async () => {
  const around = { ...AROUND, workspaceFolders: ['C:\\app'], pythonExecutables: [], home: 'C:\\Users\\ada' };
  expect((await listCandidates({ ...around, platform: 'win32' }))[0]?.command).toBe(
    'C:\\app\\.venv\\Scripts\\submodel.exe',
  );
});

test('PATH gives an absolute path, and no folder of it is completed by the current one', async () => {
  const environment = { PATH: ':.:tools:/opt/a:/opt/b' };
  const asked: string[] = [];
  const isFile = (file: string): Promise<boolean> =>
    Promise.resolve(asked.push(file) > 0 && file !== '/opt/a/submodel');
  const found = await listCandidates({ ...AROUND, environment, isFile });
  expect(found.map(({ command }) => command)).toContain('/opt/b/submodel');
  expect(asked).toEqual(['/opt/a/submodel', '/opt/b/submodel']);
});

test('a bare name that the user set is looked up in PATH, too', async () => {
  const windows = {
    ...AROUND,
    platform: 'win32' as const,
    isFile: () => Promise.resolve(true),
    setting: 'submodel.exe',
  };
  const environment = { Path: 'tools;C:relative;\\rooted;C:\\bin' };
  expect((await listCandidates({ ...windows, environment }))[0]?.command).toBe('C:\\bin\\submodel.exe');
});

test.each([
  ['~', '/home/ada'],
  ['~/x', '/home/ada/x'],
  ['~\\x', '/home/ada\\x'],
  ['~other/x', '~other/x'],
  ['a~/x', 'a~/x'],
  ['${workspaceFolder}/.venv/bin/submodel', '/work/app/.venv/bin/submodel'],
])('%s is %s', (text, expanded) => {
  expect(expand(text, AROUND)).toBe(expanded);
});

test('conda on Windows has its programs in Scripts, below the interpreter', async () => {
  const around = { ...AROUND, platform: 'win32' as const, pythonExecutables: ['C:\\conda\\envs\\app\\python.exe'] };
  const commands = (await listCandidates(around)).map(({ command }) => command);
  expect(commands).toContain('C:\\conda\\envs\\app\\Scripts\\submodel.exe');
});

test('on Windows a bare name needs no .exe', async () => {
  const windows = {
    ...AROUND,
    platform: 'win32' as const,
    environment: { Path: 'C:\\bin' },
    isFile: (file: string): Promise<boolean> => Promise.resolve(file === 'C:\\bin\\submodel.exe'),
    setting: 'submodel',
  };
  expect((await listCandidates(windows))[0]?.command).toBe('C:\\bin\\submodel.exe');
});
