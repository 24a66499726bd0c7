import { beforeEach, expect, test, vi } from 'vitest';

import { isEnabledSomewhere, isLanguageOn, readBuildSettings, readProxy, readSettings } from '../src/settings';

const around = vi.hoisted((): { values: Record<string, unknown> } => ({ values: {} }));
vi.mock('vscode', () => ({
  workspace: {
    getConfiguration: () => ({
      get: (name: string, standard: unknown) => (name in around.values ? around.values[name] : standard),
      inspect: (name: string) => ({ defaultValue: { '*': true, log: false }, globalValue: around.values[name] }),
    }),
  },
}));

beforeEach(() => {
  around.values = {};
});

const FOLDER = {} as never;
const DEFAULTS = { path: '', bundle: '' };
const BUILD_DEFAULTS = { base: undefined, minutes: undefined, extraArguments: [] };
const SETTINGS = {
  path: 'a',
  bundle: 'b',
  'build.base': 'smollm2-135m',
  'build.minutes': 1,
  'build.extraArguments': ['--size', 0.5],
  enabled: false,
  languages: { python: false },
  proxy: 'http://proxy',
  noProxy: ['a.example'],
};

test('settings are what settings.json says', () => {
  around.values = SETTINGS;
  expect(readSettings()).toEqual({ path: 'a', bundle: 'b' });
  expect(readBuildSettings(FOLDER)).toEqual({
    base: 'smollm2-135m',
    minutes: 1,
    extraArguments: ['--size', '0.5'],
  });
  expect([isEnabledSomewhere(), isLanguageOn('python'), isLanguageOn('go')]).toEqual([false, false, true]);
  expect(readProxy()).toEqual({ proxy: 'http://proxy', noProxy: ['a.example'] });
});

test.each([null, 1, 'text', ['text', null], { python: 'text' }])(
  'what is %j has its default, but for its kind',
  (value) => {
    around.values = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, value]));
    const text = typeof value === 'string' ? { path: value, bundle: value } : {};
    const build = { ...(typeof value === 'string' ? { base: value } : {}), ...(value === 1 ? { minutes: value } : {}) };
    expect(readSettings()).toEqual({ ...DEFAULTS, ...text });
    expect(readBuildSettings(FOLDER)).toEqual({ ...BUILD_DEFAULTS, ...build });
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    expect([isEnabledSomewhere(), isLanguageOn('python'), isLanguageOn('log')]).toEqual([true, true, isObject]);
    expect(readProxy()).toEqual({ proxy: typeof value === 'string' ? value : '', noProxy: [] });
  },
);
