// Any JSON value as Markdown that people can read: the server may add keys without a change here. Free of VS Code.

import { fileURLToPath } from 'node:url';

/** A decision as a person reads it: first the reason, the place as an editor counts it, and the time of the clock here. */
export function arrangeDecision(decision: object): object {
  const { reason, uri, line, character, time, ...others } = decision as Readonly<Record<string, unknown>>;
  const numbers = [line, character].map((count) => (typeof count === 'number' ? `:${count + 1}` : ''));
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(typeof uri === 'string' ? { place: toPath(uri) + numbers.join('') } : {}),
    ...(typeof time === 'string' ? { time: new Date(time).toLocaleTimeString() } : {}),
    ...others,
  };
}

/** The statistics, whose first moment is given by the clock here. */
export function arrangeStatistics(statistics: object): object {
  const { since } = statistics as Readonly<Record<string, unknown>>;
  return { ...statistics, ...(typeof since === 'string' ? { since: new Date(since).toLocaleString() } : {}) };
}

function toPath(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch {
    return uri; // of no file, or of another machine's
  }
}

export function toMarkdown(title: string, value: unknown): string {
  return [`# ${title}`, '', ...outline(value, ''), ''].join('\n');
}

/** The lines of a value, each a list item. */
function outline(value: unknown, indent: string): string[] {
  if (Array.isArray(value)) {
    return value.flatMap((item) => (isScalar(item) ? [`${indent}- ${format(item)}`] : outline(item, indent)));
  }
  if (typeof value !== 'object' || value === null) {
    return [`${indent}- ${format(value)}`];
  }
  return Object.entries(value)
    .filter(([, inner]) => inner !== null)
    .flatMap(([key, inner]) => {
      const head = `${indent}- **${spell(key)}**:`;
      const isEmpty = !isScalar(inner) && Object.keys(inner as object).length === 0;
      if (isEmpty || isScalar(inner)) {
        return [`${head} ${isEmpty ? 'none' : format(inner)}`];
      }
      return [head, ...outline(inner, `${indent}    `)];
    });
}

function isScalar(value: unknown): boolean {
  return typeof value !== 'object' || value === null;
}

/** `acceptedCharacters` as `accepted characters`. */
function spell(key: string): string {
  return key.replaceAll(/([a-z])([A-Z])/g, (_, left: string, right: string) => `${left} ${right.toLowerCase()}`);
}

function format(value: unknown): string {
  if (typeof value === 'string') {
    return quote(value);
  }
  if (typeof value === 'number' && !Number.isInteger(value)) {
    return String(Number(value.toFixed(Math.abs(value) < 10 ? 3 : 0)));
  }
  return typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value);
}

/** Prose stays prose; a text that may hold Markdown or code becomes code. */
function quote(text: string): string {
  if (/^[\p{L}\p{N} .,:;()'’–%/+-]*$/u.test(text)) {
    return text;
  }
  const fence = '`'.repeat(1 + Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length)));
  return `${fence} ${text.replaceAll(/\r\n?|\n/g, '⏎ ').trimEnd()} ${fence}`;
}
