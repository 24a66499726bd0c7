// The program `submodel` for this workspace: the first candidate that answers.

import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as vscode from 'vscode';

import type { Logger } from '../logger';
import type { Settings } from '../settings';
import { within } from '../timeLimit';
import {
  type Candidate,
  demandedCandidate,
  listCandidates,
  type Surroundings,
  workspaceCandidates,
} from './candidates';
import { probeVersion } from './probe';
import { askInterpreters, mayBeActivated, tellOfLate } from './python';

// For the Python extension, whose discovery may take minutes: before what comes after its answer is tried, and once
// nothing else is found.
const PATIENCE_MS: readonly number[] = [500, 4_500];

export interface Executable {
  readonly command: string;
  readonly version: string;
  readonly source: string;
}

export type Found = { readonly executable: Executable } | { readonly problem: string };

/**
 * A program that works, or a sentence about why none does. If a program is found before the Python extension has named
 * its environment, a listener of `onDidSelectInterpreter` hears of the name. `mayActivate`: whether that extension is
 * activated if it is not active and no other place has a program. It is installed for many who use no Python.
 */
export async function findExecutable(settings: Settings, log: Logger, mayActivate = true): Promise<Found> {
  const isTrusted = vscode.workspace.isTrusted;
  // What lies in an untrusted workspace is not run, whoever points at it.
  const folders = isTrusted ? (vscode.workspace.workspaceFolders ?? []).filter(isOnDisk) : [];
  const around = {
    setting: settings.path,
    environment: process.env,
    workspaceFolders: folders.map((folder) => folder.uri.fsPath),
    home: os.homedir(),
    platform: process.platform,
    isFile,
  };
  const tried = new Set<string>();
  const asksPython = isTrusted && (await demandedCandidate(around)) === undefined;
  const candidates = asksPython
    ? workspaceCandidates(around)
    : await listCandidates({ ...around, pythonExecutables: [] });
  const found = await tryEach(candidates, tried, log);
  if (found || !asksPython) {
    return found ?? notFound(candidates);
  }
  const without = await findBesidePython(around, askInterpreters(folders, false, log), tried, log);
  return 'problem' in without && mayActivate && mayBeActivated()
    ? findBesidePython(around, askInterpreters(folders, true, log), tried, log)
    : without;
}

/** What the selected environments, PATH and the places of tools have. */
async function findBesidePython(
  around: Omit<Surroundings, 'pythonExecutables'>,
  asking: Promise<string[]>,
  tried: Set<string>,
  log: Logger,
): Promise<Found> {
  let candidates: readonly Candidate[] = [];
  let found: Found | undefined;
  for (const patienceMs of PATIENCE_MS) {
    const pythonExecutables = await within(asking, patienceMs);
    candidates = await listCandidates({ ...around, pythonExecutables: pythonExecutables ?? [] });
    found = await tryEach(candidates, tried, log);
    if (pythonExecutables) {
      return found ?? notFound(candidates);
    }
    if (found) {
      break;
    }
  }
  log.warn('The Python extension has not named its environment yet.');
  void asking.then(tellOfLate);
  return found ?? notFound(candidates);
}

/** The first candidate that works; a problem if one that the user has named does not. */
async function tryEach(candidates: readonly Candidate[], tried: Set<string>, log: Logger): Promise<Found | undefined> {
  for (const { command, source, isDemanded } of candidates.filter((candidate) => !tried.has(candidate.command))) {
    tried.add(command);
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
  return undefined;
}

function notFound(candidates: readonly Candidate[]): Found {
  const places = candidates.map((candidate) => candidate.source).join(', ');
  return { problem: `submodel is not installed where this window can find it (looked in: ${places}).` };
}

/** False, too, for what may not be looked at, or is on a share that does not answer. */
function isFile(file: string): Promise<boolean> {
  return fs.stat(file).then(
    (facts) => facts.isFile(),
    () => false,
  );
}

function isOnDisk(folder: vscode.WorkspaceFolder): boolean {
  return folder.uri.scheme === 'file';
}
