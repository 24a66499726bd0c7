// Where `submodel` may be, in the order in which it is looked for. Free of VS Code.

import * as path from 'node:path';

import { searchPath } from './environment';

export interface Candidate {
  readonly command: string; // a path; a bare name if PATH does not have it
  readonly source: string; // for people: where the candidate comes from
  readonly isDemanded: boolean; // named by the user: if it does not work, nothing else is tried
}

export interface Surroundings {
  readonly setting: string; // submodel.path, without what an untrusted workspace has set
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workspaceFolders: readonly string[]; // none if the workspace is not trusted
  readonly pythonExecutables: readonly string[]; // the selected ones; none if the workspace is not trusted
  readonly home: string;
  readonly platform: NodeJS.Platform;
  readonly isFile: (path: string) => Promise<boolean>; // a folder of PATH may be on a drive that answers late
}

export async function listCandidates(around: Surroundings): Promise<Candidate[]> {
  const paths = around.platform === 'win32' ? path.win32 : path.posix;
  const name = programName(around);
  const demanded = await demandedCandidate(around);
  if (demanded) {
    return [demanded];
  }
  const found = workspaceCandidates(around);
  const add = (command: string, source: string): void => {
    if (!found.some((candidate) => candidate.command === command)) {
      found.push({ command, source, isDemanded: false });
    }
  };
  for (const python of around.pythonExecutables) {
    const folder = paths.dirname(python);
    // conda, and Python itself on Windows, have `python.exe` above their programs.
    const places = around.platform === 'win32' ? [folder, paths.join(folder, 'Scripts')] : [folder];
    for (const place of places) {
      add(paths.join(place, name), 'the selected Python environment');
    }
  }
  add(await onPath(name, around), 'PATH');
  // A desktop starts editors without the PATH of a shell.
  add(paths.join(around.home, '.local', 'bin', name), "the programs that 'uv tool' and pipx install");
  return found;
}

/** The first of them if the user has named nothing: they are known before the Python extension is asked. */
export function workspaceCandidates(around: Omit<Surroundings, 'pythonExecutables'>): Candidate[] {
  const paths = around.platform === 'win32' ? path.win32 : path.posix;
  const scripts = around.platform === 'win32' ? 'Scripts' : 'bin';
  return around.workspaceFolders.map((folder) => ({
    command: paths.join(folder, '.venv', scripts, programName(around)),
    source: `the environment .venv of ${paths.basename(folder)}`,
    isDemanded: false,
  }));
}

function programName({ platform }: Pick<Surroundings, 'platform'>): string {
  return platform === 'win32' ? 'submodel.exe' : 'submodel';
}

/** What the user has named, with no need to look further. */
export async function demandedCandidate(
  around: Omit<Surroundings, 'pythonExecutables'>,
): Promise<Candidate | undefined> {
  const demand = async (text: string, source: string): Promise<Candidate> => ({
    command: await onPath(expand(text, around), around),
    source,
    isDemanded: true,
  });
  const setting = around.setting.trim();
  if (setting) {
    return demand(setting, 'the setting submodel.path');
  }
  const variable = around.environment['SUBMODEL_PATH']?.trim();
  return variable ? demand(variable, 'the environment variable SUBMODEL_PATH') : undefined;
}

/** The path of a bare name by PATH, on Windows also of one without its `.exe`. Windows itself would look into the current folder first. */
async function onPath(command: string, around: Omit<Surroundings, 'pythonExecutables'>): Promise<string> {
  const paths = around.platform === 'win32' ? path.win32 : path.posix;
  if (paths.basename(command) !== command) {
    return command;
  }
  const names = around.platform === 'win32' && !paths.extname(command) ? [`${command}.exe`, command] : [command];
  for (const folder of searchPath(around.environment, around.platform)) {
    for (const name of names) {
      const place = paths.join(folder, name);
      if (await around.isFile(place)) {
        return place;
      }
    }
  }
  return command;
}

/** `~` and `${workspaceFolder}` in a path. */
export function expand(text: string, around: Pick<Surroundings, 'home' | 'workspaceFolders'>): string {
  const [first] = around.workspaceFolders;
  const inFolder = first === undefined ? text : text.replaceAll('${workspaceFolder}', first);
  return /^~(?=$|[\\/])/.test(inFolder) ? around.home + inFolder.slice(1) : inFolder;
}
