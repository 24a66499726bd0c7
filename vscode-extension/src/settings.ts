// The settings as one frozen object; the only place that knows their names.

import * as vscode from 'vscode';

import { EXPERIMENTAL, SERVER_OPTIONS } from './server/options';

export const SECTION = 'submodel';

export interface BuildSettings {
  readonly base: string;
  readonly minutes: number;
  readonly extraArguments: readonly string[];
}

export interface Settings {
  readonly path: string;
  readonly bundle: string;
  readonly build: BuildSettings;
  readonly updateAutomatically: boolean;
}

export function readSettings(): Settings {
  const section = vscode.workspace.getConfiguration(SECTION);
  const text = (name: string, standard: string): string => {
    const value = section.get<unknown>(name);
    return typeof value === 'string' ? value : standard; // settings.json may hold null
  };
  return {
    path: text('path', ''),
    bundle: text('bundle', ''),
    build: {
      base: text('build.base', 'auto'),
      minutes: section.get('build.minutes', 4.5),
      extraArguments: section.get('build.extraArguments', []),
    },
    updateAutomatically: section.get('update.automatic', false),
  };
}

/** VS Code's own settings of a proxy; none if it is not to be used. */
export function readProxy(): { readonly proxy: string; readonly noProxy: readonly string[] } {
  const section = vscode.workspace.getConfiguration('http');
  const isOff = section.get('proxySupport') === 'off';
  return { proxy: isOff ? '' : section.get('proxy', ''), noProxy: section.get('noProxy', []) };
}

/** The server's options that the user has set, by dotted name. The server has its own defaults for the others. */
export function readServerOptions(): Map<string, unknown> {
  const section = vscode.workspace.getConfiguration(SECTION);
  const isSet = (name: string): boolean => {
    const found = section.inspect(name);
    return (found?.workspaceFolderValue ?? found?.workspaceValue ?? found?.globalValue) !== undefined;
  };
  const options = new Map(SERVER_OPTIONS.filter(isSet).map((name) => [name, section.get(name)]));
  const switches = section.inspect(EXPERIMENTAL)?.globalValue;
  return switches === undefined ? options : options.set(EXPERIMENTAL, switches);
}

export function isEnabledFor(scope: vscode.ConfigurationScope | undefined): boolean {
  return vscode.workspace.getConfiguration(SECTION, scope).get('enabled', true);
}

/** Whether VS Code asks for inline suggestions while somebody types in a document. */
export function isInlineOn(document: vscode.ConfigurationScope): boolean {
  return vscode.workspace.getConfiguration('editor', document).get('inlineSuggest.enabled', true);
}

/** Whether any folder of the workspace, or the window without one, has suggestions on. */
export function isEnabledSomewhere(): boolean {
  const folders = vscode.workspace.workspaceFolders ?? [];
  return folders.length === 0 ? isEnabledFor(undefined) : folders.some((folder) => isEnabledFor(folder));
}

export function isLanguageOn(languageId: string): boolean {
  const languages = vscode.workspace.getConfiguration(SECTION).get<Record<string, boolean>>('languages', {});
  return languages[languageId] ?? languages['*'] ?? true;
}
