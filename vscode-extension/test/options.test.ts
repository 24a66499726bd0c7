import * as fs from 'node:fs';
import * as path from 'node:path';
import { describe, expect, test } from 'vitest';

import { SERVER_OPTIONS, toServerOptions } from '../src/server/options';

interface Property {
  readonly scope?: string;
  readonly markdownDescription?: string;
  readonly default?: unknown;
}
interface Manifest {
  readonly capabilities: { readonly untrustedWorkspaces: { readonly restrictedConfigurations: readonly string[] } };
  readonly contributes: {
    readonly commands: readonly { readonly command: string }[];
    readonly configuration: readonly { readonly properties: Readonly<Record<string, Property>> }[];
  };
}

const ROOT = path.join(__dirname, '..');
const { capabilities, contributes } = JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as Manifest;
const properties = Object.assign({}, ...contributes.configuration.map((section) => section.properties)) as Record<
  string,
  Property
>;

test('groups become objects, and what is not set is not sent', () => {
  const options = new Map<string, unknown>([
    ['threads', 2],
    ['trigger.comments', false],
    ['trigger.automatic', false],
  ]);
  expect(toServerOptions(options, '/b')).toEqual({
    bundle: '/b',
    threads: 2,
    trigger: { comments: false, automatic: false },
  });
  expect(toServerOptions(new Map())).toEqual({});
});

test('every option of the server is a setting', () => {
  expect(Object.keys(properties)).toEqual(expect.arrayContaining(SERVER_OPTIONS.map((name) => `submodel.${name}`)));
});

test('users see at most 15 settings, and no switch of studies', () => {
  expect(Object.keys(properties).length).toBeLessThanOrEqual(15);
  expect(properties['submodel.experimental']).toBeUndefined();
});

test('every setting has a scope, a default and a description', () => {
  for (const [name, property] of Object.entries(properties)) {
    expect(property.scope, name).toBeDefined();
    expect(property.default, name).not.toBeUndefined();
    expect(property.markdownDescription, name).toMatch(/\.$/);
  }
});

test('a path of the user is that of one machine, and an untrusted workspace sets none', () => {
  const paths = ['submodel.path', 'submodel.bundle', 'submodel.build.base'];
  expect(paths.map((name) => properties[name]?.scope)).toEqual(paths.map(() => 'machine-overridable'));
  expect(capabilities.untrustedWorkspaces.restrictedConfigurations).toEqual(expect.arrayContaining(paths));
});

describe('the page of the server', () => {
  const page = fs.readFileSync(path.join(ROOT, '..', 'docs', 'options.md'), 'utf8');
  const rows = [...page.matchAll(/^\| `([\w.]+)` \|.*?\| ([^|]+) \|[^|]*\|$/gm)];

  test('its options are all here', () => {
    const names = rows.map(([, name]) => name!).filter((name) => !['enabled', 'bundle'].includes(name));
    expect(names.length).toBeGreaterThan(4);
    expect([...SERVER_OPTIONS].sort()).toEqual(names.sort());
  });

  test('and so are their defaults', () => {
    for (const [, name, cell] of rows.filter(([, , shown]) => shown!.trim() !== '–')) {
      expect(JSON.stringify(properties[`submodel.${name!}`]?.default), name).toBe(cell!.trim().replaceAll('`', ''));
    }
  });
});

test('no command has the name of one of the server, which the client registers', () => {
  const servers = ['statistics', 'pause', 'resume', 'snooze', 'reload', 'accepted'];
  const ours = contributes.commands.map(({ command }) => command);
  expect(ours.filter((name) => servers.includes(name.replace('submodel.', '')))).toEqual([]);
});
