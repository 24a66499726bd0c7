import { expect, test, vi } from 'vitest';

import { readSettings } from '../src/settings';

const values = vi.hoisted((): Record<string, unknown> => ({}));
vi.mock('vscode', () => ({
  workspace: {
    getConfiguration: () => ({
      get: (name: string, standard: unknown) => (name in values ? values[name] : standard),
    }),
  },
}));

test('a text that settings.json sets to something else has its default', () => {
  Object.assign(values, { path: null, bundle: 1, 'build.base': 'smollm2-135m' });
  expect(readSettings()).toMatchObject({ path: '', bundle: '', build: { base: 'smollm2-135m' } });
});
