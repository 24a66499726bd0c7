// What the command that pauses on battery does to the setting care.onBattery. Free of VS Code.

export interface Turn {
  readonly value: string | undefined; // to write; undefined: nothing is set
  readonly replaced: string | undefined; // to remember: what `off` takes the place of
}

/** `effective`: what holds; `own`: what is set in the place that is written; `replaced`: what was remembered. */
export function turnOver(effective: unknown, own: unknown, replaced: unknown): Turn {
  if (effective === 'off') {
    return { value: replaced === 'full' || replaced === 'saving' ? replaced : undefined, replaced: undefined };
  }
  return { value: 'off', replaced: typeof own === 'string' ? own : undefined };
}

const TEXTS: Readonly<Record<string, string>> = {
  full: 'On battery, suggestions do not change.',
  saving: 'On battery, there are fewer suggestions.',
  off: 'On battery, there are no suggestions while you type.',
};

export function describeOnBattery(effective: string): string {
  return TEXTS[effective] ?? `On battery: ${effective}.`;
}
