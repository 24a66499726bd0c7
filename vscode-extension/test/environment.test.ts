import { expect, test } from 'vitest';

import { childEnvironment } from '../src/executable/environment';

test('no entry of PATH or PYTHONPATH leads into the current folder', () => {
  const given = { PATH: ':/usr/bin:.:tools', PYTHONPATH: ':/lib', HOME: '', LANG: undefined };
  expect(childEnvironment(given, 'linux')).toEqual({
    PATH: '/usr/bin',
    PYTHONPATH: '/lib',
    HOME: '',
    NoDefaultCurrentDirectoryInExePath: '1',
  });
});

test('a list of which nothing is left is none: an empty one would be the current folder', () => {
  expect(childEnvironment({ PATH: '.', PYTHONPATH: ':' }, 'darwin')).not.toHaveProperty('PATH');
  expect(childEnvironment({ PATH: '.', PYTHONPATH: ':' }, 'darwin')).not.toHaveProperty('PYTHONPATH');
});

test('Windows writes Path, and knows drives and shares', () => {
  const given = { Path: '.;C:\\bin;C:bin;\\rooted;\\\\server\\tools', pythonpath: 'src' };
  expect(childEnvironment(given, 'win32')).toEqual({
    Path: 'C:\\bin;\\\\server\\tools',
    NoDefaultCurrentDirectoryInExePath: '1',
  });
});
