// The command line of a build or an update, and the lines that it writes to stderr, as text for people. Free of VS Code.

import type { BuildProgress } from '../documents';
import type { BuildSettings } from '../settings';

export type TaskName = 'build' | 'update';

/** `own` stand in the place of the arguments that the settings make. */
export function taskArguments(
  task: TaskName,
  repository: string,
  settings: BuildSettings,
  own?: readonly string[],
): string[] {
  return [task, repository, ...(own ?? (task === 'build' ? buildArguments(settings) : []))];
}

function buildArguments(settings: BuildSettings): string[] {
  return [
    ...['--base', settings.base],
    ...['--minutes', String(settings.minutes)],
    ...settings.extraArguments, // last: they override the others
  ];
}

/** The document in a line; undefined for any other line, such as a library's warning. */
export function readProgress(line: string): BuildProgress | undefined {
  if (!line.startsWith('{')) {
    return undefined;
  }
  try {
    const document = JSON.parse(line) as { readonly kind?: unknown };
    return document.kind === 'stage' || document.kind === 'message' ? (document as BuildProgress) : undefined;
  } catch {
    return undefined;
  }
}

/** `prune 43 %, 2 min left; 9 min left in all`, or the sentence of a message. */
export function describeProgress(progress: BuildProgress): string {
  if (progress.kind === 'message') {
    return progress.text ?? '';
  }
  const stage = progress.stage ?? '';
  if (progress.state === 'kept') {
    return `${stage}: kept from an earlier run`;
  }
  if (progress.state === 'finished') {
    return `${stage}: ${(progress.seconds ?? 0).toFixed(1)} s`;
  }
  const share = progress.share === undefined ? '' : ` ${Math.floor(100 * progress.share)} %`;
  const left = progress.seconds_left === undefined ? '' : `, ${duration(progress.seconds_left)} left`;
  const whole =
    progress.total_seconds_left === undefined ? '' : `; ${duration(progress.total_seconds_left)} left in all`;
  return stage + share + left + whole;
}

/** The last sentence of what a failed build has printed, for the user. */
export function readFailure(output: string): string | undefined {
  const text = output.replaceAll('\r', '');
  const start = text.lastIndexOf('submodel: ');
  return start < 0 ? undefined : text.slice(start).trim().replaceAll(/\s+/g, ' ');
}

/** In seconds up to a minute, then in minutes. */
function duration(seconds: number): string {
  return seconds < 60 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
