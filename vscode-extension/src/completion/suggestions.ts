// Between the editor's request for a suggestion and the server: which requests pass, and how long they take.

import * as vscode from 'vscode';
import type { Middleware } from 'vscode-languageclient/node';

import { type Logger, messageOf } from '../logger';
import { isEnabledFor, isInlineOn, isLanguageOn } from '../settings';
import type { StatusModel } from '../status/model';
import { findRefusal } from './refusal';

const BETWEEN_NOTES_MS = 1_000; // each draws the whole status bar

export interface LastSuggestion {
  readonly uri: vscode.Uri;
  readonly refusal: string | undefined; // why the server was not asked
}

export class Suggestions {
  private readonly firstShown = new vscode.EventEmitter<void>();
  readonly onFirstShown = this.firstShown.event;
  private hasShown = false;
  private lastAsked: LastSuggestion | undefined;
  private latencyMs = 0; // of the newest suggestion
  private notedAtMs = -Infinity;
  private noting: NodeJS.Timeout | undefined;

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
    const refusal = refusalOf(document, isInvoked, true); // VS Code asks, so the setting is on
    this.lastAsked = { uri: document.uri, refusal };
    if (refusal !== undefined) {
      return null;
    }
    const started = performance.now();
    try {
      const answer = await next(document, position, context, token);
      const items = Array.isArray(answer) ? answer : (answer?.items ?? []);
      if (items.length > 0 && !token.isCancellationRequested) {
        this.noteLater(performance.now() - started);
      }
      return answer;
    } catch (error) {
      this.log.debug(`No suggestion: ${messageOf(error)}`); // the server is gone or just starting
      return null;
    }
  };

  /** Note a suggestion once the editor has it. */
  private noteLater(latencyMs: number): void {
    this.latencyMs = latencyMs;
    this.noting ??= setTimeout(
      () => {
        this.noting = undefined;
        this.notedAtMs = performance.now();
        this.note();
      },
      Math.max(0, this.notedAtMs + BETWEEN_NOTES_MS - performance.now()),
    );
  }

  private note(): void {
    const { latencyMs } = this;
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
  return refusalOf(document, isInvoked, isInlineOn(document));
}

function refusalOf(document: vscode.TextDocument, isInvoked: boolean, isInline: boolean): string | undefined {
  const { uri, languageId } = document;
  const facts = {
    isEnabled: isEnabledFor(document),
    isLanguageOn: isLanguageOn(languageId),
    isInlineOn: isInline,
  };
  return findRefusal({ scheme: uri.scheme, languageId, ...facts }, isInvoked);
}
