// How programs are found and started if the current folder may be a stranger's. Free of VS Code.

import * as path from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

/** The folders of PATH without empty and relative ones, which depend on the current folder. */
export function searchPath(environment: Environment, platform: NodeJS.Platform): string[] {
  const value = Object.entries(environment).find(([name]) => isNamed(name, 'PATH', platform))?.[1];
  return absoluteEntries(value, platform);
}

/**
 * An environment in which submodel looks for no programs in its current folder, and for modules in its own environment
 * alone: PYTHONPATH is that of the user's project.
 */
export function childEnvironment(environment: Environment, platform: NodeJS.Platform): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (isNamed(name, 'PYTHONPATH', platform) || isNamed(name, 'PYTHONHOME', platform)) {
      continue;
    }
    const isPath = isNamed(name, 'PATH', platform);
    const text = isPath ? absoluteEntries(value, platform).join(delimiter(platform)) : value;
    if (text !== undefined && (text || !isPath)) {
      kept[name] = text; // an empty PATH would be the current folder
    }
  }
  kept['PYTHONIOENCODING'] = 'utf-8'; // Windows' own garbles paths in what the child says
  kept['NoDefaultCurrentDirectoryInExePath'] = '1'; // Windows: for what the child itself starts
  return kept;
}

/** The editor's proxy, for a child whose environment names none. */
export function proxyEnvironment(
  environment: Environment,
  proxy: string,
  noProxy: readonly string[],
): Record<string, string> {
  const isSet = (names: readonly string[]): boolean =>
    Object.entries(environment).some(([name, value]) => value && names.includes(name.toUpperCase()));
  if (!proxy || isSet(['HTTPS_PROXY', 'ALL_PROXY'])) {
    return {};
  }
  return { HTTPS_PROXY: proxy, ...(noProxy.length === 0 || isSet(['NO_PROXY']) ? {} : { NO_PROXY: noProxy.join() }) };
}

function absoluteEntries(value: string | undefined, platform: NodeJS.Platform): string[] {
  // On Windows `\x` depends on the current drive.
  const isWhole = (entry: string): boolean =>
    platform === 'win32' ? /^([A-Za-z]:[\\/]|\\\\)/.test(entry) : path.posix.isAbsolute(entry);
  return (value ?? '').split(delimiter(platform)).filter(isWhole);
}

function isNamed(name: string, wanted: string, platform: NodeJS.Platform): boolean {
  return platform === 'win32' ? name.toUpperCase() === wanted : name === wanted; // there it is often `Path`
}

function delimiter(platform: NodeJS.Platform): string {
  return platform === 'win32' ? ';' : ':';
}
