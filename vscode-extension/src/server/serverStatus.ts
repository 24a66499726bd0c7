// Turns `submodel/status` into the state that people see. Free of VS Code.

import type { UntrustedBundle } from '../bundle/trust';
import type { Phase, Snapshot } from '../status/state';
import type { ServedBundle, ServerStatus } from './protocol';

const PHASES: Readonly<Record<NonNullable<ServerStatus['state']>, Phase>> = {
  starting: 'loading',
  loading: 'loading',
  ready: 'ready',
  unloaded: 'unloaded',
  paused: 'paused',
  snoozed: 'snoozed',
  disabled: 'disabled',
  failed: 'failed',
};

export function toSnapshot(status: ServerStatus): Partial<Snapshot> {
  const phase = phaseOf(status);
  const saving = status.power?.policy === 'saving' ? ', saving power' : '';
  const provider = status.bundles?.find((bundle) => bundle.state === 'ready')?.provider?.split(':')[0] ?? 'cpu';
  const threads =
    provider !== 'cpu' || status.threads === undefined
      ? ''
      : `, ${status.threads} ${status.threads === 1 ? 'core' : 'cores'}`;
  const saysWhy = phase === 'failed' || phase === 'paused';
  return {
    ...(phase === undefined ? {} : { phase }),
    ...(status.snoozedUntil === undefined
      ? {}
      : { snoozedUntil: status.snoozedUntil === null ? undefined : new Date(status.snoozedUntil) }),
    problem: saysWhy && status.message ? toPaletteWords(status.message) : undefined,
    untrusted: findUntrusted(status.bundles ?? []),
    served: status.bundles ?? [],
    device: `${provider.toUpperCase()}${threads}${saving}`,
  };
}

/** Whether one bundle serves all files, as far as is known. */
export function servesAll({ isChosen, served }: Pick<Snapshot, 'isChosen' | 'served'>): boolean {
  return isChosen || served.length === 0 || served.some(({ workspaceFolder }) => !workspaceFolder);
}

function findUntrusted(bundles: readonly ServedBundle[]): UntrustedBundle | undefined {
  const found = bundles.find(({ state }) => state === 'untrusted');
  return found?.folder === undefined ? undefined : { folder: found.folder, build: found.build ?? undefined };
}

/** The server names its command, which the palette does not list. */
export function toPaletteWords(message: string): string {
  return message.replace(
    /run the command submodel\.reload(, or restart the language server)?/,
    'run the command "submodel: Restart the Server"',
  );
}

/** A server without a bundle calls that a failure. One that would answer, but for the machine's battery, is paused. */
function phaseOf({ state, bundles, power }: ServerStatus): Phase | undefined {
  if (state === 'failed' && bundles?.length === 0) {
    return 'no-bundle';
  }
  const wouldAnswer = state === 'ready' || state === 'unloaded';
  return wouldAnswer && power?.policy === 'off' ? 'paused' : state && PHASES[state];
}
