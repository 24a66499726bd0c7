// Which bundle is served: the setting, else what was picked in this workspace, else the workspace's own if it is trusted.

import * as fs from 'node:fs/promises';
import * as os from 'node:os';
import * as path from 'node:path';
import * as vscode from 'vscode';

import { plain } from '../plainText';
import { isEnabledFor, readSettings } from '../settings';
import { within } from '../timeLimit';
import {
  findGitRoot,
  findRepository,
  isAtOrBelow,
  isFolder,
  isOnShare,
  isSameFolder,
  listPrevious,
  OWN_BUNDLE,
  readBundle,
  uniqueFolders,
} from './bundles';
import { type BundleInfo, describeBundle } from './manifest';
import { resolveNamed } from './named';

const PICKED = 'bundle';
const PATIENCE_MS = 2_000; // with a server that stands still, while the user looks at an empty list

export class Bundles {
  private readonly foundBelow = new vscode.EventEmitter<void>();
  readonly onDidFindBelow = this.foundBelow.event;
  private readonly below: string[] = []; // repositories with a bundle that opened files lie in

  constructor(private readonly memory: vscode.Memento) {}

  dispose(): void {
    this.foundBelow.dispose();
  }

  /** The bundle that the setting or the pick names; undefined if each folder gets its own. */
  picked(): string | undefined {
    const named = readNamed();
    if (named) {
      return 'folder' in named ? named.folder : undefined;
    }
    return this.memory.get<string>(PICKED);
  }

  /** What is wrong with the setting, or the pick, if it names no bundle. */
  problem(): string {
    const named = readNamed();
    if (named && 'problem' in named) {
      return named.problem;
    }
    const folder = this.picked() ?? '';
    if (isOnShare(folder)) {
      return `the bundle ${folder} is on a network share, from which nothing is loaded`;
    }
    return named
      ? `the setting submodel.bundle names ${folder}, which is no bundle`
      : `the picked bundle ${folder} can't be read`;
  }

  /** The bundles that a server would serve, read; each folder's own if none is named. */
  async served(): Promise<BundleInfo[]> {
    const picked = this.picked();
    if (picked !== undefined && isOnShare(picked)) {
      return []; // a repository's setting may name it
    }
    if (picked !== undefined) {
      const bundle = await readBundle(picked);
      if (bundle || readSettings().bundle || !(await isDeleted(picked))) {
        return bundle ? [bundle] : [];
      }
      await this.forgetPick();
      const gone = `The bundle ${picked}, which you picked, was deleted. This workspace gets its own again.`;
      void vscode.window.showInformationMessage(plain(gone));
    }
    if (!vscode.workspace.isTrusted) {
      return []; // a stranger's model is as good as a program of theirs
    }
    const repositories = await this.repositories();
    const bundles = await Promise.all(repositories.map((folder) => readBundle(path.join(folder, OWN_BUNDLE))));
    return bundles.filter((bundle) => bundle !== undefined);
  }

  /**
   * Let the user pick the workspace's bundle, an older one or another folder; return whether the choice changed.
   * `older`: asks for the older ones. If it takes too long, those on disk are listed.
   */
  async choose(older: () => Promise<readonly string[]>): Promise<boolean> {
    if (readSettings().bundle) {
      const open = 'Open Settings';
      const answer = await vscode.window.showInformationMessage('The setting submodel.bundle names the bundle.', open);
      if (answer === open) {
        await vscode.commands.executeCommand('workbench.action.openSettings', 'submodel.bundle');
      }
      return false;
    }
    const repositories = await this.repositories();
    const item = await vscode.window.showQuickPick(this.list(older, repositories), {
      placeHolder:
        repositories.length > 1
          ? `The bundle to serve: one that you pick serves all files of the ${repositories.length} repositories here`
          : 'The bundle to serve in this workspace',
      matchOnDetail: true,
    });
    if (!item) {
      return false;
    }
    const folder = item.folder === 'browse' ? await browse() : item.folder;
    if (folder === 'cancelled' || isSamePick(folder, this.memory.get<string>(PICKED))) {
      return false;
    }
    if (folder !== undefined && isRefused(folder)) {
      return false;
    }
    await this.memory.update(PICKED, folder);
    return true;
  }

  /** The bundles that the workspace's own have replaced, newest first. */
  async olderOnDisk(): Promise<string[]> {
    if (!vscode.workspace.isTrusted) {
      return [];
    }
    const repositories = await this.repositories();
    return (await Promise.all(repositories.map((folder) => listPrevious(folder)))).flat();
  }

  /** Serve the workspace's own bundle again, as after a build; return whether another one was picked. */
  async forgetPick(): Promise<boolean> {
    const wasPicked = this.memory.get<string>(PICKED) !== undefined;
    await this.memory.update(PICKED, undefined);
    return wasPicked;
  }

  private async list(
    older: () => Promise<readonly string[]>,
    repositories: readonly string[],
  ): Promise<(vscode.QuickPickItem & { readonly folder: string | undefined })[]> {
    const picked = this.picked();
    const mark = (folder: string | undefined): string => (isSamePick(folder, picked) ? '$(check) ' : '');
    const items: (vscode.QuickPickItem & { readonly folder: string | undefined })[] = [];
    items.push({
      label: `${mark(undefined)}The workspace's own`,
      detail:
        repositories.length === 0
          ? 'There is no bundle yet.'
          : repositories.map((folder) => path.join(folder, OWN_BUNDLE)).join(', '),
      folder: undefined,
    });
    const named = (await within(older(), PATIENCE_MS)) ?? (await this.olderOnDisk());
    const read = await Promise.all(named.map((folder) => readBundle(folder)));
    for (const kept of read.filter((bundle) => bundle !== undefined)) {
      items.push({
        label: `${mark(kept.folder)}$(history) Built ${kept.builtAt.toLocaleString()}`,
        description: describeBundle(kept),
        detail: kept.folder,
        folder: kept.folder,
      });
    }
    const other = picked === undefined || items.some(({ folder }) => isSamePick(folder, picked)) ? undefined : picked;
    if (other !== undefined) {
      const bundle = await readBundle(other);
      const description = bundle ? describeBundle(bundle) : "can't be read";
      items.push({
        label: `${mark(other)}$(folder) ${path.basename(other)}`,
        description,
        detail: other,
        folder: other,
      });
    }
    items.push({ label: '$(folder-opened) Another Folder…', folder: 'browse' });
    return items;
  }

  /** The nearest folder with a bundle at or above each of the workspace's, and each opened file, if suggestions are on there. */
  async repositories(): Promise<string[]> {
    const folders = workspaceFolders().filter(isOn);
    const found = await Promise.all(folders.map((folder) => findRepository(folder)));
    const below = (await this.repositoriesBelow()).filter(isOn);
    return uniqueFolders([...found.filter((folder) => folder !== undefined), ...below]);
  }

  /** The repositories below the workspace's folders that opened files lie in, as a package of a monorepo. */
  async repositoriesBelow(): Promise<string[]> {
    await Promise.all(vscode.workspace.textDocuments.map((document) => this.lookFrom(document)));
    return this.below.filter((folder) => isBelowOneOf(workspaceFolders(), folder));
  }

  /** Look for the bundle of an opened file below the workspace's folders. */
  async lookFrom({ uri }: Pick<vscode.TextDocument, 'uri'>): Promise<void> {
    const folders = workspaceFolders();
    if (uri.scheme !== 'file' || !isBelowOneOf(folders, uri.fsPath)) {
      return;
    }
    const repository = await findRepository(path.dirname(uri.fsPath));
    if (repository !== undefined && isBelowOneOf(folders, repository) && !isOneOf(this.below, repository)) {
      this.below.push(repository);
      this.foundBelow.fire();
    }
  }

  /** Where else than in the workspace's folders a bundle is, or may appear, that is served for them. */
  async repositoriesElsewhere(): Promise<string[]> {
    const folders = workspaceFolders();
    const roots = await Promise.all(folders.map((folder) => findGitRoot(folder)));
    const found = uniqueFolders([...(await this.repositories()), ...roots.filter((root) => root !== undefined)]);
    return found.filter((folder) => !isOneOf(folders, folder));
  }
}

function readNamed(): ReturnType<typeof resolveNamed> | undefined {
  const { bundle } = readSettings();
  const around = {
    isTrusted: vscode.workspace.isTrusted,
    workspaceFolders: workspaceFolders(),
    home: os.homedir(),
  };
  return bundle ? resolveNamed(bundle, around) : undefined;
}

/** Whether a picked bundle is gone, and not merely on a drive that is away: then its mount point is missing or empty. */
async function isDeleted(folder: string): Promise<boolean> {
  if (await isFolder(folder)) {
    return false;
  }
  const beside = await fs.readdir(path.dirname(folder)).catch(() => []);
  return beside.length > 0 || workspaceFolders().some((root) => isAtOrBelow(folder, root));
}

/** Whether a folder is on a network share; says so to the user. */
function isRefused(folder: string): boolean {
  if (!isOnShare(folder)) {
    return false;
  }
  const text = `${folder} is on a network share, from which the server loads nothing. Copy the bundle to this machine.`;
  void vscode.window.showWarningMessage(plain(text));
  return true;
}

async function browse(): Promise<string> {
  const [uri] =
    (await vscode.window.showOpenDialog({ canSelectFiles: false, canSelectFolders: true, openLabel: 'Serve' })) ?? [];
  if (!uri) {
    return 'cancelled';
  }
  if (isRefused(uri.fsPath)) {
    return 'cancelled';
  }
  if (!(await readBundle(uri.fsPath))) {
    void vscode.window.showWarningMessage(plain(`${uri.fsPath} is no bundle: it has no readable bundle.json.`));
    return 'cancelled';
  }
  return uri.fsPath;
}

/** Undefined: the workspace's own. */
function isSamePick(one: string | undefined, other: string | undefined): boolean {
  return one === undefined || other === undefined ? one === other : isSameFolder(one, other);
}

function isOn(folder: string): boolean {
  return isEnabledFor(vscode.Uri.file(folder));
}

function isBelowOneOf(folders: readonly string[], one: string): boolean {
  return !isOneOf(folders, one) && folders.some((folder) => isAtOrBelow(one, folder));
}

function isOneOf(folders: readonly string[], one: string): boolean {
  return folders.some((folder) => isSameFolder(folder, one));
}

/** Their paths; those that are not on disk have none. */
export function workspaceFolders(): string[] {
  return (vscode.workspace.workspaceFolders ?? [])
    .filter((folder) => folder.uri.scheme === 'file')
    .map((folder) => folder.uri.fsPath);
}
