// What is known of the server, and how people see it. Free of VS Code.

import { describeBundle, shortCount } from '../bundle/facts';
import type { UntrustedBundle } from '../bundle/trust';
import type { ServedBundle } from '../server/protocol';

export type Phase =
  | 'idle' // not started yet
  | 'disabled'
  | 'untrusted' // the workspace is not trusted, and the user's settings name no bundle
  | 'no-bundle'
  | 'no-executable'
  | 'starting'
  | 'loading'
  | 'ready'
  | 'unloaded' // ready again at the next request
  | 'paused' // by the server: battery
  | 'snoozed'
  | 'recovering' // died, and is started again
  | 'failed';

export interface Snapshot {
  readonly phase: Phase;
  readonly problem: string | undefined; // one sentence
  readonly version: string | undefined;
  readonly executable: string | undefined;
  readonly served: readonly ServedBundle[]; // what the server tells of its bundles: a workspace has several folders
  readonly isChosen: boolean; // one bundle serves all files: the setting names it
  readonly untrusted: UntrustedBundle | undefined; // the first bundle that another account has built
  readonly device: string;
  readonly latencyMs: number | undefined; // of the last answer
  readonly snoozedUntil: Date | undefined;
  readonly building: string | undefined; // the stage of a build
  readonly otherExtensions: readonly string[]; // other extensions that suggest inline
}

export const INITIAL: Snapshot = {
  phase: 'idle',
  problem: undefined,
  version: undefined,
  executable: undefined,
  served: [],
  isChosen: false,
  untrusted: undefined,
  device: 'CPU',
  latencyMs: undefined,
  snoozedUntil: undefined,
  building: undefined,
  otherExtensions: [],
};

/** The end of the snooze; undefined if it is over, as after a sleep of the machine that no timer has noticed. */
export function snoozeEnd({ snoozedUntil }: Pick<Snapshot, 'snoozedUntil'>, now = Date.now()): Date | undefined {
  return snoozedUntil && snoozedUntil.getTime() > now ? snoozedUntil : undefined;
}

export interface Description {
  readonly icon: string; // a codicon
  readonly text: string; // for the status bar
  readonly state: string; // one sentence fragment
  readonly severity: 'information' | 'warning' | 'error';
  readonly isBusy: boolean;
  readonly facts: readonly (readonly [string, string])[];
}

const STATES: Readonly<Record<Phase, readonly [icon: string, text: string, state: string]>> = {
  idle: ['sparkle', 'submodel', 'not started yet'],
  disabled: ['circle-slash', 'submodel: off', 'suggestions are off'],
  untrusted: ['shield', 'submodel: restricted', 'off until you trust this workspace'],
  'no-bundle': ['circle-outline', 'submodel: not built', 'no sub-model of this workspace yet'],
  'no-executable': ['warning', 'submodel: not installed', 'submodel was not found'],
  starting: ['loading~spin', 'submodel: starting', 'starting the server'],
  loading: ['loading~spin', 'submodel: loading', 'loading the model'],
  ready: ['sparkle', 'submodel', 'ready'],
  unloaded: ['sparkle', 'submodel', 'idle: its memory is freed, and the next request loads the model again'],
  paused: ['debug-pause', 'submodel: paused', 'paused'],
  snoozed: ['bell-slash', 'submodel: snoozed', 'snoozed'],
  recovering: ['loading~spin', 'submodel: restarting', 'the server stopped and is started again'],
  failed: ['error', 'submodel: failed', 'the server is not running'],
};

/** What people see; of several bundles it is about the first. */
export function describe(last: Snapshot, time = Date.now()): Description {
  const isOver = last.phase === 'snoozed' && last.snoozedUntil !== undefined && !snoozeEnd(last, time);
  const now: Snapshot = isOver ? { ...last, phase: 'ready', snoozedUntil: undefined } : last;
  const [icon, text, state] = STATES[now.phase];
  const common = { facts: listFacts(now) };
  if (now.building !== undefined) {
    return {
      ...common,
      icon: 'loading~spin',
      text: `submodel: ${now.building}`,
      state: `building: ${now.building}`,
      severity: 'information',
      isBusy: true,
    };
  }
  const isServing = now.phase === 'ready' || now.phase === 'unloaded';
  return {
    ...common,
    icon,
    text: isServing ? servingText(now) : text,
    state: now.phase === 'snoozed' ? snoozedState(now) : now.problem ? `${state}: ${now.problem}` : state,
    severity: now.phase === 'failed' ? 'error' : now.phase === 'no-executable' ? 'warning' : 'information',
    isBusy: icon === 'loading~spin',
  };
}

function snoozedState({ snoozedUntil }: Snapshot): string {
  return `snoozed until ${snoozedUntil?.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) ?? 'later'}`;
}

function servingText({ served: [bundle], latencyMs }: Snapshot): string {
  const model = bundle?.parameters ? `submodel ${shortCount(bundle.parameters)}` : 'submodel';
  return latencyMs === undefined ? model : `${model} · ${Math.round(latencyMs)} ms`;
}

function listFacts(now: Snapshot): [string, string][] {
  const [bundle] = now.served;
  const facts: [string, string | undefined][] = [
    ['Model', bundle && describeBundle(bundle)],
    ['Built', bundle?.builtAt ? new Date(bundle.builtAt).toLocaleString() : undefined],
    ['Bundle', bundle?.folder],
    ['Device', now.device],
    ['Last answer', now.latencyMs === undefined ? undefined : `${Math.round(now.latencyMs)} ms`],
    ['Server', now.version && `submodel ${now.version}${now.executable ? `, ${now.executable}` : ''}`],
    [
      'Other extensions',
      now.otherExtensions.length === 0 ? undefined : `${now.otherExtensions.join(', ')} may suggest inline too`,
    ],
  ];
  return facts.filter((fact): fact is [string, string] => fact[1] !== undefined && fact[1] !== '');
}
