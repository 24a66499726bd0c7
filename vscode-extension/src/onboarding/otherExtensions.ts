// Other extensions that may suggest inline. Two of them at once show one another's text, so the user should know.

import * as vscode from 'vscode';

import type { Logger } from '../logger';
import { plain } from '../plainText';
import type { StatusModel } from '../status/model';
import { findOtherExtensions } from './extensionNames';

const REPORTED = 'reportedExtensions';

export async function noteOtherExtensions(memory: vscode.Memento, status: StatusModel, log: Logger): Promise<void> {
  const active = vscode.extensions.all.filter((extension) => extension.isActive).map(({ id }) => id);
  const names = findOtherExtensions(active, vscode.workspace.getConfiguration('github.copilot').get('enable'));
  status.update({ otherExtensions: names });
  const reported = memory.get<string[]>(REPORTED, []);
  const fresh = names.filter((name) => !reported.includes(name));
  if (fresh.length === 0) {
    return;
  }
  await memory.update(REPORTED, [...reported, ...fresh]);
  const text = `${fresh.join(' and ')} may suggest inline too. A suggestion that you see may be theirs. Turn one of the extensions off.`;
  log.info(text);
  const show = 'Show Extension';
  if ((await vscode.window.showInformationMessage(plain(`submodel: ${text}`), show)) === show) {
    await vscode.commands.executeCommand('workbench.extensions.search', `@enabled ${fresh[0] ?? ''}`);
  }
}
