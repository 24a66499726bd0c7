import { expect, test, vi } from 'vitest';

import { showMenu } from '../src/status/menu';
import { INITIAL, type Snapshot } from '../src/status/state';

const { showQuickPick } = vi.hoisted(() => ({ showQuickPick: vi.fn() }));
vi.mock('vscode', () => ({ window: { showQuickPick } }));

async function commands(snapshot: Snapshot): Promise<unknown[]> {
  await showMenu(snapshot);
  const entries = showQuickPick.mock.lastCall?.[0] as { readonly command: string; readonly detail?: string }[];
  return entries.map(({ command, detail }) => (detail === undefined ? command : [command, detail]));
}

test('an untrusted bundle can be trusted for as long as there is one', async () => {
  const untrusted = { folder: '/a/.submodel/bundle', build: 'b0' };
  expect(await commands({ ...INITIAL, untrusted })).toContainEqual(['submodel.trustBundle', untrusted.folder]);
  expect((await commands(INITIAL)).flat()).not.toContain('submodel.trustBundle');
});
