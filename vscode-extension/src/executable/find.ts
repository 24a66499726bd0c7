// The program `submodel` for this workspace: the first candidate that answers.

import * as fs from 'node:fs';
import * as os from 'node:os';
import * as vscode from 'vscode';

import type { Logger } from '../logger';
import type { Settings } from '../settings';
import { demandedCandidate, listCandidates } from './candidates';
import { probeVersion } from './probe';
import { selectedInterpreters } from './python';

export interface Executable {
  readonly command: string;
  readonly version: string;
  readonly source: string;
}

/** A program that works, or a sentence about why none does. */
export async function findExecutable(
  settings: Settings,
  log: Logger,
): Promise<{ readonly executable: Executable } | { readonly problem: string }> {
  const isTrusted = vscode.workspace.isTrusted;
  // What lies in an untrusted workspace is not run, whoever points at it.
  const folders = isTrusted ? (vscode.workspace.workspaceFolders ?? []).filter(isOnDisk) : [];
  const around = {
    setting: settings.path,
    environment: process.env,
    workspaceFolders: folders.map((folder) => folder.uri.fsPath),
    home: os.homedir(),
    platform: process.platform,
    isFile: (file: string) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false,
  };
  const asksPython = isTrusted && demandedCandidate(around) === undefined;
  const pythonExecutables = asksPython ? await selectedInterpreters(folders, log) : [];
  const candidates = listCandidates({ ...around, pythonExecutables });
  for (const { command, source, isDemanded } of candidates) {
    const probe = await probeVersion(command);
    if ('version' in probe) {
      log.info(`submodel ${probe.version} from ${source}: ${command}`);
      return { executable: { command, version: probe.version, source } };
    }
    log.debug(`Not ${command} (${source}): ${probe.problem}`);
    if (isDemanded) {
      return { problem: `${command} (from ${source}) is not submodel: ${probe.problem}.` };
    }
    if (!probe.isMissing) {
      log.warn(`${command} (${source}) can't be used: ${probe.problem}`);
    }
  }
  const places = candidates.map((candidate) => candidate.source).join(', ');
  return { problem: `submodel is not installed where this window can find it (looked in: ${places}).` };
}

function isOnDisk(folder: vscode.WorkspaceFolder): boolean {
  return folder.uri.scheme === 'file';
}
