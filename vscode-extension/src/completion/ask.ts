// Asks for a suggestion in a file, also from a page such as the walkthrough, which has the focus then.

import * as vscode from 'vscode';

import { SELECTOR } from '../server/options';

export async function suggestHere(): Promise<void> {
  const place = openEditor() ?? openTab();
  if (!place) {
    void vscode.window.showInformationMessage('Open a file first, and put the cursor where you would type.');
    return;
  }
  await vscode.window.showTextDocument(place.uri, { viewColumn: place.viewColumn });
  await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger');
}

interface Place {
  readonly uri: vscode.Uri;
  readonly viewColumn: vscode.ViewColumn;
}

function openEditor(): Place | undefined {
  const { activeTextEditor, visibleTextEditors } = vscode.window;
  const editors = activeTextEditor ? [activeTextEditor, ...visibleTextEditors] : visibleTextEditors;
  const editor = editors.find(({ document }) => vscode.languages.match(SELECTOR, document) > 0);
  return editor && { uri: editor.document.uri, viewColumn: editor.viewColumn ?? vscode.ViewColumn.Active };
}

/** A file behind the page: its editor is not visible. */
function openTab(): Place | undefined {
  const { activeTabGroup, all } = vscode.window.tabGroups;
  for (const { tabs, viewColumn } of [activeTabGroup, ...all]) {
    const inputs = tabs.map(({ input }) => input).filter((input) => input instanceof vscode.TabInputText);
    const last = inputs.findLast(({ uri }) => SELECTOR.some(({ scheme }) => scheme === uri.scheme));
    if (last) {
      return { uri: last.uri, viewColumn };
    }
  }
  return undefined;
}
