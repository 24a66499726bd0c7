// The server's options that are settings of the same name, and their form on the wire. Free of VS Code.

export const SERVER_OPTIONS: readonly string[] = [
  'threads',
  'provider',
  'maxNewTokens',
  'statistics',
  'drift',
  ...of('trigger', 'automatic debounceMinMs debounceMaxMs midWord beforeText afterAcceptedLine'),
  ...of('trigger', 'comments strings multiLine budgetMs coldMs'),
  ...of('stops', 'newline dedent nextLine repetition'),
  ...of('filters', 'wholeLine healing specialTokens indentation secret suffixDuplicate doubledClosers syntax'),
  ...of('threshold', 'precision'),
  ...of('context', 'recent imports similar maxCharacters'),
  ...of('care', 'idleUnloadMinutes onBattery lowBatteryPercent prefetch readAhead readAheadDelayMs maxLoad'),
];

/** `{"trigger.comments": false}` as `{"trigger": {"comments": false}}`, and the bundle, where one was picked. */
export function toInitializationOptions(
  options: ReadonlyMap<string, unknown>,
  bundle: string | undefined,
): Record<string, unknown> {
  const document: Record<string, unknown> = bundle === undefined ? {} : { bundle };
  for (const [name, value] of options) {
    const [group = '', option] = name.split('.');
    if (option === undefined) {
      document[group] = value;
    } else {
      const inner = document[group] as Record<string, unknown> | undefined;
      document[group] = { ...inner, [option]: value };
    }
  }
  return document;
}

function of(group: string, names: string): string[] {
  return names.split(' ').map((name) => `${group}.${name}`);
}
