// The state for the document at hand: in a window of several repositories, that of its own.

import * as vscode from 'vscode';

import { bundleOf } from '../bundle/facts';
import { refusalFor } from '../completion/suggestions';
import type { ServedBundle } from '../server/protocol';
import { servesAll, toPaletteWords } from '../server/serverStatus';
import { type Description, describe, type Phase, type Snapshot } from './state';

const SERVING: readonly Phase[] = ['ready', 'unloaded'];
const OFF_HERE = 'submodel: off here';
const UNSERVED = "no sub-model of this file's repository";

export interface Here {
  readonly snapshot: Snapshot; // of its bundles only the one that serves the document, if the window knows it
  readonly description: Description;
  readonly isUnserved: boolean; // no sub-model is that of its repository
  readonly refusal: string | undefined; // why the document gets nothing though the server runs, also during a build
}

export function lookHere(snapshot: Snapshot): Here {
  const document = vscode.window.activeTextEditor?.document;
  const file = document?.uri.scheme === 'file' ? document.uri.fsPath : undefined;
  const bundle = file === undefined ? undefined : bundleOf(file, snapshot.served);
  const narrowed = bundle ? { ...snapshot, served: [bundle] } : snapshot;
  if (!SERVING.includes(snapshot.phase)) {
    return { snapshot: narrowed, description: describe(narrowed), isUnserved: false, refusal: undefined };
  }
  const refusal = document && refusalFor(document, false);
  const isUnserved = file !== undefined && !bundle && refusal === undefined && !servesAll(snapshot);
  const here = isUnserved ? { ...snapshot, served: [] } : narrowed;
  const problem = isUnserved ? UNSERVED : bundle && problemOf(bundle);
  const known = describe(here);
  // A library's file without a sub-model is nothing to warn of.
  const look = isUnserved ? { icon: 'circle-slash' } : ({ icon: 'warning', severity: 'warning' } as const);
  const isHidden = problem === undefined || snapshot.building !== undefined;
  return {
    snapshot: here,
    description: isHidden ? known : { ...known, ...look, text: OFF_HERE, state: problem },
    isUnserved,
    refusal: refusal ?? problem,
  };
}

/** Why the bundle of a document is not served, while others are. */
function problemOf({ state, error }: ServedBundle): string | undefined {
  const isServed = state !== 'failed' && state !== 'untrusted';
  return isServed ? undefined : toPaletteWords(error ?? 'the bundle of this repository is not served');
}
