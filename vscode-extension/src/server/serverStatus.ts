// Turns `submodel/status` into the state that people see. Free of VS Code.

import * as path from 'node:path';

import type { TaskName } from '../build/progress';
import { isAtOrBelow, isSameFolder, OWN_BUNDLE } from '../bundle/bundles';
import type { BundleFacts } from '../bundle/manifest';
import type { UntrustedBundle } from '../bundle/trust';
import type { DriftFacts } from '../documents';
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
  const phase = status.state === undefined ? undefined : phaseOf(status.state, status.power?.policy);
  const saving = status.power?.policy === 'saving' ? ', saving power' : '';
  const provider = status.bundles?.find((bundle) => bundle.state === 'ready')?.provider?.split(':')[0] ?? 'cpu';
  const threads =
    provider !== 'cpu' || typeof status.threads !== 'number' // an older server sends null
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

/** The bundle that serves a file, or will at the first request: that of the innermost repository around it. */
export function bundleOf(
  file: string,
  { served, bundles }: Pick<Snapshot, 'served' | 'bundles'>,
): ServedBundle | undefined {
  const read = bundles
    .filter(({ folder }) => folder.endsWith(OWN_BUNDLE))
    .map(({ folder }): ServedBundle => ({ folder, workspaceFolder: path.resolve(folder, '..', '..') }));
  return [...served, ...read]
    .filter(({ workspaceFolder }) => workspaceFolder && isAtOrBelow(file, workspaceFolder))
    .reduce<ServedBundle | undefined>(
      (best, one) => ((one.workspaceFolder ?? '').length > (best?.workspaceFolder ?? '').length ? one : best),
      undefined,
    );
}

/** Whether one bundle serves all files, as far as is known. */
export function servesAll({ isPicked, served }: Pick<Snapshot, 'isPicked' | 'served'>): boolean {
  return isPicked || served.length === 0 || served.some(({ workspaceFolder }) => !workspaceFolder);
}

/** The state for a file that this bundle serves: the bundle as it was read, or as the server tells if it was not. */
export function narrowTo(snapshot: Snapshot, told: ServedBundle): Snapshot {
  const read = snapshot.bundles.find(({ folder }) => told.folder !== undefined && isSameFolder(folder, told.folder));
  const bundle = read ?? toFacts(told);
  return { ...snapshot, bundles: bundle ? [bundle] : [] };
}

/** Of a bundle that nobody reads here, such as that of a file outside of the workspace. */
function toFacts({ folder, base, parameters, bytes, builtAt }: ServedBundle): BundleFacts | undefined {
  return folder === undefined || !builtAt
    ? undefined
    : {
        folder,
        base: base ?? 'unknown base',
        parameters: parameters ?? undefined,
        bytes: bytes ?? undefined,
        builtAt: new Date(builtAt),
      };
}

/** Whether the server tells of another build of a bundle than the last in `known`, which is brought up to date. */
export function noteBuilds(told: readonly ServedBundle[], known: Map<string, string>): boolean {
  let isNews = false;
  for (const { folder, build } of told) {
    if (folder !== undefined && build) {
      isNews ||= (known.get(folder) ?? build) !== build;
      known.set(folder, build); // a bundle that is loading has none, and its last one stays known
    }
  }
  return isNews;
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

/** A server that would answer, but for the machine's battery, is paused for people. */
function phaseOf(state: NonNullable<ServerStatus['state']>, policy: string | undefined): Phase {
  const wouldAnswer = state === 'ready' || state === 'unloaded';
  return wouldAnswer && policy === 'off' ? 'paused' : PHASES[state];
}

export interface Built {
  readonly repository: string;
  readonly build: string | undefined; // of its bundle; undefined: this version of the server does not send it
}

export interface Drifted extends Built {
  readonly task: TaskName | undefined; // what the server suggests against the drift; undefined: no task does it
}

export interface Stale extends Built {
  readonly figures: string; // of its drift; other figures were measured at another time
}

/** Whether the server knows that the machine runs on its battery; a desktop has none to tell of. */
export function isOnBattery(status: ServerStatus | undefined): boolean {
  return status?.power?.onBattery === true;
}

/** The bundles whose sub-models an update would bring up to date. */
export function staleBundles(bundles: readonly ServedBundle[]): Stale[] {
  return bundles.flatMap(({ drift, workspaceFolder, build }) =>
    workspaceFolder && drift?.isStale && taskAgainst(drift) === 'update'
      ? [{ repository: workspaceFolder, build: build ?? undefined, figures: figuresOf(drift) }]
      : [],
  );
}

function figuresOf({ files, changed, added, removed }: DriftFacts): string {
  return [files, changed, added, removed].join(' ');
}

/** The repository whose drift the server's message is about; undefined for any other message. */
export function driftedIn(message: string, bundles: readonly ServedBundle[]): Drifted | undefined {
  for (const { drift, workspaceFolder, build } of bundles) {
    if (workspaceFolder && drift?.isStale && message.includes(`\`${drift.command}\``)) {
      return { repository: workspaceFolder, build: build ?? undefined, task: taskAgainst(drift) };
    }
  }
  return undefined;
}

/** A bundle that was pulled has no history: its message names `submodel pull`, which is no task. */
function taskAgainst({ command }: DriftFacts): TaskName | undefined {
  return (['update', 'build'] as const).find((task) => command.startsWith(`submodel ${task}`));
}
