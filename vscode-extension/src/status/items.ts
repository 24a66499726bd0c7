// The status bar entry and the language status item: two views of the same snapshot.

import * as vscode from 'vscode';

import { refusalFor } from '../completion/suggestions';
import { plain } from '../plainText';
import { SELECTOR } from '../server/options';
import type { ServedBundle } from '../server/protocol';
import { bundleOf, narrowTo, toPaletteWords } from '../server/serverStatus';
import { type Description, describe, type Phase } from './state';
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

  const show = (): void => {
    const { snapshot } = model;
    const document = vscode.window.activeTextEditor?.document;
    const here = document?.uri.scheme === 'file' ? bundleOf(document.uri.fsPath, snapshot.served) : undefined;
    const isServing = SERVING.includes(snapshot.phase);
    const problem = isServing ? problemOf(here) : undefined;
    const known = describe(here ? narrowTo(snapshot, here) : snapshot);
    const description = problem === undefined || snapshot.building !== undefined ? known : withProblem(known, problem);
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
    const refusal = isServing && document ? (refusalFor(document, false) ?? problem) : undefined;
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

/** Why the bundle of a document is not served, while others are. */
function problemOf(bundle: ServedBundle | undefined): string | undefined {
  const isServed = bundle?.state !== 'failed' && bundle?.state !== 'untrusted';
  return isServed ? undefined : toPaletteWords(bundle.error ?? 'the bundle of this repository is not served');
}

/** What people see in a document that gets nothing, though others do. */
function withProblem(description: Description, problem: string): Description {
  return { ...description, icon: 'warning', text: 'submodel: off here', state: problem, severity: 'warning' };
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
