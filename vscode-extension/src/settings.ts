// The settings as one frozen object; the only place that knows their names.

import * as vscode from 'vscode';

import { EXPERIMENTAL, RUNNING_OPTIONS, SERVER_OPTIONS } from './server/options';

export const SECTION = 'submodel';

export interface BuildSettings {
  readonly base: string | undefined; // undefined: the user has not set it, and the program has its own default
  readonly minutes: number | undefined;
  readonly extraArguments: readonly string[];
}

export interface Settings {
  readonly path: string;
  readonly bundle: string;
}

export function readSettings(): Settings {
  const section = vscode.workspace.getConfiguration(SECTION);
  return {
    path: asText(section.get('path')) ?? '',
    bundle: asText(section.get('bundle')) ?? '',
  };
}

/** With several folders in the workspace, each may have its own. */
export function readBuildSettings(folder: vscode.ConfigurationScope): BuildSettings {
  const section = vscode.workspace.getConfiguration(SECTION, folder);
  return {
    base: isSet(section, 'build.base') ? asText(section.get('build.base')) : undefined,
    minutes: isSet(section, 'build.minutes') ? asNumber(section.get('build.minutes')) : undefined,
    extraArguments: asTexts(section.get('build.extraArguments')) ?? [],
  };
}

/** VS Code's own settings of a proxy; none if it is not to be used. */
export function readProxy(): { readonly proxy: string; readonly noProxy: readonly string[] } {
  const section = vscode.workspace.getConfiguration('http');
  const isOff = section.get('proxySupport') === 'off';
  return {
    proxy: isOff ? '' : (asText(section.get('proxy')) ?? ''),
    noProxy: asTexts(section.get('noProxy')) ?? [],
  };
}

/** The server's options that the user has set, by dotted name. The server has its own defaults for the others. */
export function readServerOptions(): Map<string, unknown> {
  const section = vscode.workspace.getConfiguration(SECTION);
  const names = SERVER_OPTIONS.filter((name) => isSet(section, name));
  const options = new Map(names.map((name) => [name, section.get(name)]));
  const switches = section.inspect(EXPERIMENTAL)?.globalValue;
  return switches === undefined ? options : options.set(EXPERIMENTAL, switches);
}

/**
 * The options that a running server takes: those that the user has set, and those that it was `sent` before, since it
 * keeps what no message names. What is set no longer, or is null, gets the setting's default.
 */
export function readRunningOptions(sent: ReadonlySet<string>): Map<string, unknown> {
  const section = vscode.workspace.getConfiguration(SECTION);
  const set = readServerOptions();
  const names = [...RUNNING_OPTIONS, EXPERIMENTAL].filter((name) => set.has(name) || sent.has(name));
  return new Map(names.map((name) => [name, set.get(name) ?? section.inspect(name)?.defaultValue]));
}

export function isEnabledFor(scope: vscode.ConfigurationScope | undefined): boolean {
  return asFlag(vscode.workspace.getConfiguration(SECTION, scope).get('enabled')) ?? true;
}

/** Whether VS Code asks for inline suggestions while somebody types in a document. */
export function isInlineOn(document: vscode.ConfigurationScope): boolean {
  return asFlag(vscode.workspace.getConfiguration('editor', document).get('inlineSuggest.enabled')) ?? true;
}

/** Whether any folder of the workspace, or the window without one, has suggestions on. */
export function isEnabledSomewhere(): boolean {
  const folders = vscode.workspace.workspaceFolders ?? [];
  return folders.length === 0 ? isEnabledFor(undefined) : folders.some((folder) => isEnabledFor(folder));
}

export function isLanguageOn(languageId: string): boolean {
  const section = vscode.workspace.getConfiguration(SECTION);
  const languages =
    asObject(section.get('languages', {})) ?? asObject(section.inspect('languages')?.defaultValue) ?? {};
  return asFlag(languages[languageId]) ?? asFlag(languages['*']) ?? true;
}

/** Whether the user has set it, at any level. */
function isSet(section: vscode.WorkspaceConfiguration, name: string): boolean {
  const found = section.inspect(name);
  return (found?.workspaceFolderValue ?? found?.workspaceValue ?? found?.globalValue) !== undefined;
}

// What settings.json holds may be of any kind; undefined if it is of another than the wanted one.

function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function asNumber(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

function asFlag(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined;
}

/** A number in the list is taken as its text: many write `["--size", 0.5]`. */
export function asTexts(value: unknown): string[] | undefined {
  const isTextual = (one: unknown): boolean => typeof one === 'string' || typeof one === 'number';
  return Array.isArray(value) && value.every(isTextual) ? value.map(String) : undefined;
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Readonly<Record<string, unknown>>) : undefined;
}
