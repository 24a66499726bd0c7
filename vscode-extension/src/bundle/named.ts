// The folder that the setting submodel.bundle names. Free of VS Code.

import * as path from 'node:path';

import { expand } from '../executable/candidates';

const WORKSPACE_VARIABLE = '${workspaceFolder';

export interface Around {
  readonly isTrusted: boolean;
  readonly workspaceFolders: readonly string[];
  readonly home: string;
}

/** The folder, or a sentence about why there is none. What lies in an untrusted workspace is a stranger's. */
export function resolveNamed(
  setting: string,
  { isTrusted, workspaceFolders, home }: Around,
): { readonly folder: string } | { readonly problem: string } {
  const folders = isTrusted ? workspaceFolders : [];
  const named = expand(setting, { home, workspaceFolders: folders });
  const [first] = folders;
  if (first !== undefined) {
    return { folder: path.resolve(first, named) };
  }
  if (path.isAbsolute(named) && !named.includes(WORKSPACE_VARIABLE)) {
    return { folder: named };
  }
  const when = isTrusted ? 'while no folder is open' : 'until you trust this workspace';
  return { problem: `the setting submodel.bundle is ${setting}, and must be an absolute path ${when}` };
}
