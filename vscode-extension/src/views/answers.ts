// Shows what only the server knows: the reason for the last suggestion, and the statistics.

import * as vscode from 'vscode';

import { refusalFor, type Suggestions } from '../completion/suggestions';
import { messageOf } from '../logger';
import { plain } from '../plainText';
import type { ServerController } from '../server/controller';
import { ANSWER_MS, execute, EXPLAIN_METHOD, STATISTICS_COMMAND } from '../server/protocol';
import { findRemedy } from '../status/menu';
import type { StatusModel } from '../status/model';
import { describe, type Snapshot } from '../status/state';
import { within } from '../timeLimit';
import { arrangeDecision, arrangeStatistics, toMarkdown } from './outline';
import { type Pages, SCHEME } from './pages';

const BESIDE = ['output', SCHEME]; // read beside a file, where nobody expects a suggestion

export async function explainLast(
  controller: ServerController,
  status: StatusModel,
  last: Suggestions['last'],
  pages: Pages,
): Promise<void> {
  const refusal = findOwnRefusal(last);
  if (refusal) {
    await pages.show('Explain', toMarkdown('Explain', arrangeDecision(refusal)));
    return;
  }
  await show('Explain', pages, controller, status, async (client) => {
    const params = last ? { textDocument: { uri: client.code2ProtocolConverter.asUri(last.uri) }, count: 1 } : {};
    const answer = await client.sendRequest<{ readonly decisions?: readonly object[] }>(EXPLAIN_METHOD, params);
    return arrangeDecision(answer.decisions?.[0] ?? { reason: 'no suggestion was requested yet' });
  });
}

/** What the extension itself held back: in the document at hand, else at the last request. */
function findOwnRefusal(last: Suggestions['last']): { readonly uri: string; readonly reason: string } | undefined {
  const document = vscode.window.activeTextEditor?.document;
  if (document && !BESIDE.includes(document.uri.scheme)) {
    const wasAsked = last?.uri.toString() === document.uri.toString(); // by hand, perhaps
    const reason = refusalFor(document, wasAsked);
    if (reason !== undefined) {
      return { uri: document.uri.toString(), reason };
    }
  }
  return last?.refusal === undefined ? undefined : { uri: last.uri.toString(), reason: last.refusal };
}

export async function showStatistics(controller: ServerController, status: StatusModel, pages: Pages): Promise<void> {
  await show('Statistics', pages, controller, status, async (client) =>
    arrangeStatistics((await execute(client, STATISTICS_COMMAND)) as object),
  );
}

async function show(
  title: string,
  pages: Pages,
  { client }: ServerController,
  { snapshot }: StatusModel,
  ask: (client: NonNullable<ServerController['client']>) => Promise<unknown>,
): Promise<void> {
  if (!client) {
    await tellNotRunning(snapshot);
    return;
  }
  try {
    const asking = ask(client).then((answer) => ({ answer }));
    const answered = await within(asking, ANSWER_MS);
    if (!answered) {
      await tellStanding();
      return;
    }
    await pages.show(title, toMarkdown(title, answered.answer));
  } catch (error) {
    void vscode.window.showWarningMessage(plain(`submodel: ${messageOf(error)}`));
  }
}

async function tellStanding(): Promise<void> {
  const restart = 'Restart the Server';
  const text = `The server has not answered within ${ANSWER_MS / 1000} s.`;
  if ((await vscode.window.showWarningMessage(plain(text), restart)) === restart) {
    await vscode.commands.executeCommand('submodel.restart');
  }
}

/** Say in what state there is no server, with a button that helps. */
async function tellNotRunning(snapshot: Snapshot): Promise<void> {
  const text = `submodel can't answer: ${describe(snapshot).state}.`;
  const remedy = findRemedy(snapshot);
  const answer = await vscode.window.showInformationMessage(plain(text), ...(remedy ? [remedy.label] : []));
  if (remedy && answer === remedy.label) {
    await vscode.commands.executeCommand(remedy.command);
  }
}
