// The status bar entry and the language status item: two views of the same snapshot.

import * as vscode from 'vscode';

import { plain } from '../plainText';
import { SELECTOR } from '../server/options';
import { lookHere } from './here';
import type { StatusModel } from './model';
import type { Description } from './state';

const SEVERITIES = {
  information: vscode.LanguageStatusSeverity.Information,
  warning: vscode.LanguageStatusSeverity.Warning,
  error: vscode.LanguageStatusSeverity.Error,
};

export function createStatusItems(model: StatusModel): vscode.Disposable {
  const bar = vscode.window.createStatusBarItem('submodel.status', vscode.StatusBarAlignment.Right, 90);
  bar.name = 'submodel';
  bar.command = 'submodel.showMenu';
  const language = vscode.languages.createLanguageStatusItem('submodel.status', SELECTOR);
  language.name = 'submodel';
  language.command = { command: 'submodel.showMenu', title: 'Menu' };

  const show = (): void => {
    const { description, refusal } = lookHere(model.snapshot);
    bar.text = `$(${description.icon}) ${description.text}`;
    bar.tooltip = makeTooltip(description);
    bar.accessibilityInformation = { label: `${description.text}, ${description.state}` };
    bar.backgroundColor =
      description.severity === 'information'
        ? undefined
        : new vscode.ThemeColor(`statusBarItem.${description.severity}Background`);
    language.severity = SEVERITIES[description.severity];
    language.busy = description.isBusy;
    // The language's item is of the document at hand, where suggestions may be off.
    language.text = plain(refusal === undefined ? description.text : 'submodel: off here');
    language.detail = plain(refusal ?? description.state);
  };
  show();
  bar.show();
  return vscode.Disposable.from(
    bar,
    language,
    model.onDidChange(show),
    vscode.window.onDidChangeActiveTextEditor(show),
    vscode.workspace.onDidOpenTextDocument(show), // fires when a document's language changes, too
    vscode.workspace.onDidChangeConfiguration(show),
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
