import * as path from 'node:path';
import { expect, test } from 'vitest';

import { resolveNamed } from '../src/bundle/named';

const ABSOLUTE = path.resolve('/bundles/a');
const FOLDER = path.resolve('/work/app');
const AROUND = { isTrusted: true, workspaceFolders: [FOLDER], home: path.resolve('/home/ada') };

test.each([
  [ABSOLUTE, ABSOLUTE],
  ['~/a', path.join(AROUND.home, 'a')],
  ['${workspaceFolder}/.submodel/bundle', path.join(FOLDER, '.submodel', 'bundle')],
  ['.submodel/bundle', path.join(FOLDER, '.submodel', 'bundle')],
])('%s is a folder in a trusted workspace', (setting, folder) => {
  expect(resolveNamed(setting, AROUND)).toEqual({ folder });
});

test.each(['.submodel/bundle', '${workspaceFolder}/a', '/a/${workspaceFolder}'])(
  '%s is none where the workspace is not trusted or there is none, and the sentence says what to do',
  (setting) => {
    expect(resolveNamed(setting, { ...AROUND, isTrusted: false })).toEqual({
      problem: `the setting submodel.bundle is ${setting}, and must be an absolute path until you trust this workspace`,
    });
    expect(resolveNamed(setting, { ...AROUND, workspaceFolders: [] })).toEqual({
      problem: `the setting submodel.bundle is ${setting}, and must be an absolute path while no folder is open`,
    });
  },
);

test('an absolute path and the home folder need no trust', () => {
  const around = { ...AROUND, isTrusted: false };
  expect(resolveNamed(ABSOLUTE, around)).toEqual({ folder: ABSOLUTE });
  expect(resolveNamed('~', around)).toEqual({ folder: AROUND.home });
});
