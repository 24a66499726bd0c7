// When an update that nobody has asked for is due. Free of VS Code.

import type { ServerStatus } from '../server/protocol';
import { type Built, isOnBattery, type Stale, staleBundles } from '../server/serverStatus';

const FAILURES = 'failedUpdates';
const AGAIN_MS = 24 * 3_600_000; // after one that has failed or was done, unless the bundle is another one by then
const LATER_MS = 3_600_000; // after one that something passing was in the way of

export interface Conditions {
  readonly isAutomatic: boolean; // submodel.update.automatic
  readonly isTrusted: boolean; // the workspace
  readonly isQuiet: boolean; // nobody has typed or moved the cursor for a minute
}

export function mayBegin({ isAutomatic, isTrusted, isQuiet }: Conditions): boolean {
  return isAutomatic && isTrusted && isQuiet;
}

/** Whether an update that runs by itself has to end. */
export function mustEnd({ isAutomatic }: Pick<Conditions, 'isAutomatic'>, isStillTooLong: boolean): boolean {
  return !isAutomatic || isStillTooLong;
}

/** The first stale bundle that an update may help and whose suggestions are on; undefined if no update may begin. */
export function findDue(
  conditions: Conditions,
  status: ServerStatus | undefined,
  failures: Pick<FailedUpdates, 'has'>,
  past: Pick<PastUpdates, 'has'>,
  isEnabled: (repository: string) => boolean,
): Stale | undefined {
  if (!mayBegin(conditions) || isOnBattery(status)) {
    return undefined;
  }
  return staleBundles(status?.bundles ?? []).find(
    (one) => !failures.has(one) && !past.has(one) && isEnabled(one.repository),
  );
}

/** Whether less than a span has passed since a time; false if the clock was set back since. */
export function isWithin(spanMs: number, sinceMs: number, nowMs: number): boolean {
  return sinceMs <= nowMs && nowMs - sinceMs < spanMs;
}

/** A part of `vscode.Memento`. */
interface Memory {
  get(key: string): unknown;
  update(key: string, value: unknown): PromiseLike<void>;
}

interface Failure {
  readonly atMs: number;
  readonly build: string | undefined;
  readonly problem: string;
}

/** The automatic updates that have failed, by repository. The workspace remembers them across windows. */
export class FailedUpdates {
  constructor(
    private readonly memory: Memory,
    private readonly now: () => number = Date.now,
  ) {}

  /** Whether an update of this very build has failed within a day. */
  has({ repository, build }: Built): boolean {
    const failure = this.all[repository];
    return failure !== undefined && failure.build === build && isWithin(AGAIN_MS, failure.atMs, this.now());
  }

  /** Note a failure; return whether its problem is another than that of the failure before. */
  async note({ repository, build }: Built, problem: string): Promise<boolean> {
    const before = this.all[repository];
    await this.memory.update(FAILURES, { ...this.all, [repository]: { atMs: this.now(), build, problem } });
    return before?.problem !== problem;
  }

  async forget(repository: string): Promise<void> {
    if (this.all[repository]) {
      await this.memory.update(FAILURES, { ...this.all, [repository]: undefined });
    }
  }

  private get all(): Readonly<Record<string, Failure | undefined>> {
    return (this.memory.get(FAILURES) ?? {}) as Readonly<Record<string, Failure | undefined>>;
  }
}

interface Past {
  readonly atMs: number;
  readonly build: string | undefined;
  readonly figures: string | undefined; // of the drift that is dealt with; undefined: it had to wait
}

/**
 * The automatic updates of this window that another one need not follow, by repository. The server measures no drift
 * while nobody uses it. So an update for a branch that was left meanwhile finds nothing to do, and leaves a stale drift.
 */
export class PastUpdates {
  private readonly all = new Map<string, Past>();

  constructor(private readonly now: () => number = Date.now) {}

  /** Whether an update of this very build had to wait within an hour, or was done within a day at this very drift. */
  has({ repository, build, figures }: Stale): boolean {
    const past = this.all.get(repository);
    if (!past || past.build !== build) {
      return false;
    }
    return past.figures === undefined
      ? isWithin(LATER_MS, past.atMs, this.now())
      : past.figures === figures && isWithin(AGAIN_MS, past.atMs, this.now());
  }

  note({ repository, build, figures }: Stale, outcome: 'done' | 'notNow'): void {
    this.all.set(repository, { atMs: this.now(), build, figures: outcome === 'done' ? figures : undefined });
  }
}
