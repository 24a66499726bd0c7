// The status bar entry and the language status item: two views of the same snapshot.

import * as vscode from 'vscode';

import { refusalFor } from '../completion/suggestions';
import { plain } from '../plainText';
import { SELECTOR } from '../server/options';
import { type Description, describe, type Phase, type Snapshot } from './state';
import type { StatusModel } from './model';

const SEVERITIES = {
  information: vscode.LanguageStatusSeverity.Information,
  warning: vscode.LanguageStatusSeverity.Warning,
  error: vscode.LanguageStatusSeverity.Error,
};

const SERVING: readonly Phase[] = ['ready', 'unloaded'];

export function createStatusItems(model: StatusModel): vscode.Disposable {
  const bar = vscode.window.createStatusBarItem('submodel.status', vscode.StatusBarAlignment.Right, 90);
  bar.name = 'submodel';
  bar.command = 'submodel.showMenu';
  const language = vscode.languages.createLanguageStatusItem('submodel.status', SELECTOR);
  language.name = 'submodel';
  language.command = { command: 'submodel.showMenu', title: 'Menu' };

  const show = (snapshot: Snapshot): void => {
    const description = describe(snapshot);
    bar.text = `$(${description.icon}) ${description.text}`;
    bar.tooltip = makeTooltip(description);
    bar.accessibilityInformation = { label: `${description.text}, ${description.state}` };
    bar.backgroundColor =
      description.severity === 'information'
        ? undefined
        : new vscode.ThemeColor(`statusBarItem.${description.severity}Background`);
    language.severity = SEVERITIES[description.severity];
    language.busy = description.isBusy;
    showHere();
  };
  /** The language's item is of the document at hand, where suggestions may be off. */
  const showHere = (): void => {
    const description = describe(model.snapshot);
    const document = vscode.window.activeTextEditor?.document;
    const refusal = SERVING.includes(model.snapshot.phase) && document ? refusalFor(document, false) : undefined;
    language.text = plain(refusal === undefined ? description.text : 'submodel: off here');
    language.detail = plain(refusal ?? description.state);
  };
  show(model.snapshot);
  bar.show();
  return vscode.Disposable.from(
    bar,
    language,
    model.onDidChange(show),
    vscode.window.onDidChangeActiveTextEditor(showHere),
    vscode.workspace.onDidOpenTextDocument(showHere), // fires when a document's language changes, too
    vscode.workspace.onDidChangeConfiguration(showHere),
  );
}

function makeTooltip(description: Description): vscode.MarkdownString {
  const tooltip = new vscode.MarkdownString(undefined, true);
  tooltip.isTrusted = { enabledCommands: ['submodel.explainLast', 'submodel.openReport', 'submodel.showLogs'] };
  tooltip.appendMarkdown('**submodel** – ').appendText(description.state).appendMarkdown('\n\n');
  if (description.facts.length > 0) {
    tooltip.appendMarkdown('| | |\n|---|---|\n');
    for (const [name, value] of description.facts) {
      tooltip.appendMarkdown(`| ${name} | `).appendText(value.replaceAll('|', '¦')).appendMarkdown(' |\n');
    }
    tooltip.appendMarkdown('\n');
  }
  return tooltip.appendMarkdown(
    '[Explain](command:submodel.explainLast) · [Report](command:submodel.openReport) · [Logs](command:submodel.showLogs)',
  );
}
