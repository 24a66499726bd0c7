// Sends the server the position where the cursor rests.

import * as vscode from 'vscode';

import type { ServerController } from '../server/controller';
import { CURSOR_METHOD } from '../server/protocol';
import { SELECTOR } from '../server/options';
import { isEnabledFor, isLanguageOn } from '../settings';
import type { StatusModel } from '../status/model';
import { RestingCursor } from './restingCursor';

export function followCursor(controller: ServerController, status: StatusModel): vscode.Disposable {
  const cursor = new RestingCursor(({ uri, line, character }) => {
    const params = { textDocument: { uri }, position: { line, character } };
    void controller.client?.sendNotification(CURSOR_METHOD, params).catch(() => undefined); // it is just ending
  });
  const note = (editor: vscode.TextEditor | undefined): void => {
    if (editor && isWanted(editor.document)) {
      const { line, character } = editor.selection.active;
      cursor.moved({ uri: uriOf(editor.document), version: editor.document.version, line, character });
    }
  };
  let { phase } = status.snapshot;
  return vscode.Disposable.from(
    cursor,
    vscode.window.onDidChangeActiveTextEditor(note),
    vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => {
      // Typing in one half of a split editor moves the cursor of the other.
      if (textEditor === vscode.window.activeTextEditor) {
        note(textEditor);
      }
    }),
    status.onDidChange((snapshot) => {
      // A file that was opened before the server is ready fires no further event.
      if (snapshot.phase === 'ready' && phase !== 'ready') {
        note(vscode.window.activeTextEditor);
      }
      ({ phase } = snapshot);
    }),
  );
  function isWanted(document: vscode.TextDocument): boolean {
    const isOn = isEnabledFor(document) && isLanguageOn(document.languageId);
    return isOn && vscode.languages.match(SELECTOR, document) > 0;
  }
  function uriOf(document: vscode.TextDocument): string {
    return controller.client?.code2ProtocolConverter.asUri(document.uri) ?? document.uri.toString();
  }
}
