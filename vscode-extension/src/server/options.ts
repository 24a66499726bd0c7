// What the server gets: the documents that it sees, and its options. Free of VS Code.

export const SELECTOR = [{ scheme: 'file' }, { scheme: 'untitled' }];

/** The server's options that are settings of the same name, and that load its models again. */
export const STARTING_OPTIONS: readonly string[] = ['threads', 'provider'];

/** Those that a server takes while it runs. */
export const RUNNING_OPTIONS: readonly string[] = [
  'eagerness',
  'trigger.automatic',
  'trigger.comments',
  'care.idleUnloadMinutes',
  'care.onBattery',
];

export const SERVER_OPTIONS: readonly string[] = [...STARTING_OPTIONS, ...RUNNING_OPTIONS];

/** Switches of the server for tests and studies. No setting declares them; only the user's own file may hold them. */
export const EXPERIMENTAL = 'experimental';

/** `{"trigger.comments": false}` as `{"trigger": {"comments": false}}`, with the bundle if one was chosen. */
export function toServerOptions(options: ReadonlyMap<string, unknown>, bundle?: string): Record<string, unknown> {
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
