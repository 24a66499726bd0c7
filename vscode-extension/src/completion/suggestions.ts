// Between the editor's request for a suggestion and the server: which requests pass, and how long they take.

import * as vscode from 'vscode';
import type { Middleware } from 'vscode-languageclient/node';

import { type Logger, messageOf } from '../logger';
import { isEnabledFor, isInlineOn, isLanguageOn } from '../settings';
import type { StatusModel } from '../status/model';
import { findRefusal } from './refusal';

export interface LastSuggestion {
  readonly uri: vscode.Uri;
  readonly refusal: string | undefined; // why the server was not asked
}

export class Suggestions {
  private readonly firstShown = new vscode.EventEmitter<void>();
  readonly onFirstShown = this.firstShown.event;
  private hasShown = false;
  private lastAsked: LastSuggestion | undefined;

  constructor(
    private readonly status: StatusModel,
    private readonly log: Logger,
  ) {}

  get last(): LastSuggestion | undefined {
    return this.lastAsked;
  }

  readonly middleware: NonNullable<Middleware['provideInlineCompletionItems']> = async (
    document,
    position,
    context,
    token,
    next,
  ) => {
    const isInvoked = context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke;
    const refusal = refusalFor(document, isInvoked);
    this.lastAsked = { uri: document.uri, refusal };
    if (refusal !== undefined) {
      return null;
    }
    const started = performance.now();
    try {
      const answer = await next(document, position, context, token);
      const items = Array.isArray(answer) ? answer : (answer?.items ?? []);
      if (items.length > 0 && !token.isCancellationRequested) {
        this.note(performance.now() - started);
      }
      return answer;
    } catch (error) {
      this.log.debug(`No suggestion: ${messageOf(error)}`); // the server is gone or just starting
      return null;
    }
  };

  private note(latencyMs: number): void {
    const { phase } = this.status.snapshot;
    this.status.update({ latencyMs, ...(phase === 'loading' || phase === 'unloaded' ? { phase: 'ready' } : {}) });
    if (!this.hasShown) {
      this.hasShown = true;
      this.firstShown.fire();
    }
  }
}

/** Why the server is asked for nothing in a document; undefined if it is asked. */
export function refusalFor(document: vscode.TextDocument, isInvoked: boolean): string | undefined {
  const { uri, languageId } = document;
  const facts = {
    isEnabled: isEnabledFor(document),
    isLanguageOn: isLanguageOn(languageId),
    isInlineOn: isInlineOn(document),
  };
  return findRefusal({ scheme: uri.scheme, languageId, ...facts }, isInvoked);
}
