// Why the extension asks the server for nothing in a document. Free of VS Code.

import { SELECTOR } from '../server/options';

export interface DocumentFacts {
  readonly scheme: string;
  readonly languageId: string;
  readonly isEnabled: boolean; // submodel.enabled, for its folder
  readonly isLanguageOn: boolean; // submodel.languages
  readonly isInlineOn: boolean; // editor.inlineSuggest.enabled
}

/** One sentence; undefined if the server is asked. A request by hand passes in any language. */
export function findRefusal(document: DocumentFacts, isInvoked: boolean): string | undefined {
  if (document.scheme === 'vscode-notebook-cell') {
    return 'Cells of notebooks get no suggestions. No setting changes that.';
  }
  if (!SELECTOR.some(({ scheme }) => scheme === document.scheme)) {
    return `Documents of the kind ${document.scheme} get no suggestions, only files on disk and untitled ones.`;
  }
  if (!document.isEnabled) {
    return 'Suggestions are off here. Turn on the setting submodel.enabled to get them.';
  }
  if (!isInvoked && !document.isInlineOn) {
    return 'VS Code asks for no suggestions while you type. Turn on the setting editor.inlineSuggest.enabled.';
  }
  if (!isInvoked && !document.isLanguageOn) {
    return `Suggestions are off in ${document.languageId}. The setting submodel.languages turns them on. Trigger Inline Suggestion still asks.`;
  }
  return undefined;
}
