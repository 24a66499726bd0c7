import { expect, test } from 'vitest';

import { childEnvironment } from '../src/executable/environment';

test('no entry of PATH leads into the current folder, and no module comes from elsewhere', () => {
  const given = { PATH: ':/usr/bin:.:tools', PYTHONPATH: '/lib', PYTHONHOME: '/py', HOME: '', LANG: undefined };
  expect(childEnvironment(given, 'linux')).toEqual({
    PATH: '/usr/bin',
    HOME: '',
    PYTHONIOENCODING: 'utf-8',
    NoDefaultCurrentDirectoryInExePath: '1',
  });
});

test('a PATH of which nothing is left is none: an empty one would be the current folder', () => {
  expect(childEnvironment({ PATH: '.' }, 'darwin')).not.toHaveProperty('PATH');
});

test('Windows writes Path, and knows drives and shares', () => {
  const given = { Path: '.;C:\\bin;C:bin;\\rooted;\\\\server\\tools', pythonpath: 'src' };
  expect(childEnvironment(given, 'win32')).toEqual({
    Path: 'C:\\bin;\\\\server\\tools',
    PYTHONIOENCODING: 'utf-8',
    NoDefaultCurrentDirectoryInExePath: '1',
  });
});
