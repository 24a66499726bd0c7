// The command line of a build, and the lines that it writes to stderr, as text for people. Free of VS Code.

import type { BuildProgress } from '../documents';
import type { BuildSettings } from '../settings';

/** `own` stand in the place of the arguments that the settings make. */
export function buildArguments(repository: string, settings: BuildSettings, own?: readonly string[]): string[] {
  const { base, minutes, extraArguments } = settings;
  const made = [
    ...(base === undefined ? [] : ['--base', base]),
    ...(minutes === undefined ? [] : ['--minutes', String(minutes)]),
    ...extraArguments, // last: they override the others
  ];
  return ['build', repository, ...(own ?? made)];
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

export interface End {
  readonly code: number;
  readonly signal: string | undefined; // that ended it, if one did
  readonly tail: string; // of what was printed
}

/** Why a build that nobody stopped has failed, for the user. */
export function describeFailure({ code, signal, tail }: End): string {
  if (signal === 'SIGKILL') {
    return (
      'The system ended the build, probably because memory ran out. Close other programs, ' +
      'or set submodel.build.base to smollm2-135m, and try again.'
    );
  }
  return readFailure(tail) ?? `submodel build ended with ${signal ?? `exit code ${code}`}.`;
}

/** The last sentence of what a failed command has printed; undefined if it has printed nothing. */
export function readFailure(output: string): string | undefined {
  const text = output.replaceAll('\r', '');
  const start = text.lastIndexOf('submodel: ');
  const last = start < 0 ? lastLines(text) : text.slice(start);
  return last.trim().replaceAll(/\s+/g, ' ') || undefined;
}

/** The text of the box that a usage error ends with, else the last line. */
function lastLines(text: string): string {
  const lines = text.trimEnd().split('\n');
  const isEdge = (line: string): boolean => /^[\u2500-\u257f]{2}/.test(line);
  const last = lines.at(-1) ?? '';
  if (!isEdge(last)) {
    return last;
  }
  const inside = lines.slice(lines.slice(0, -1).findLastIndex(isEdge) + 1, -1);
  return inside.join('\n').replaceAll(/[\u2500-\u257f]/g, '');
}

/** In seconds up to a minute, then in minutes. */
function duration(seconds: number): string {
  return seconds < 60 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
