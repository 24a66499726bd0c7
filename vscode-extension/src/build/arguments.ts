// The command line of a build. Free of VS Code.

import type { BuildSettings } from '../settings';

export function buildArguments(settings: BuildSettings, repository: string): string[] {
  return [
    'build',
    repository,
    ...['--base', settings.base],
    ...['--size', settings.size],
    ...['--minutes', String(settings.minutes)],
    ...settings.extraArguments, // last: they win
  ];
}
