// Any JSON value as Markdown that people can read: what the server tells may grow without a change here. Free of VS Code.

export function toMarkdown(title: string, value: unknown): string {
  return `# ${title}\n\n${outline(value, 0)}\n`;
}

function outline(value: unknown, depth: number): string {
  if (Array.isArray(value)) {
    return value.length === 0 ? 'none' : value.map((item) => item_(outline(item, depth + 1), depth)).join('\n');
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).filter(([, inner]) => inner !== null);
    return entries.length === 0
      ? 'none'
      : entries.map(([key, inner]) => item_(`**${spell(key)}**: ${outline(inner, depth + 1)}`, depth)).join('\n');
  }
  return typeof value === 'string' ? quote(value) : format(value);
}

function item_(text: string, depth: number): string {
  const isNested = text.startsWith('\n');
  return `${depth > 0 ? '\n' : ''}${'    '.repeat(depth)}- ${isNested ? text.trimStart() : text}`.replaceAll(
    /\n{2,}/g,
    '\n',
  );
}

/** `acceptedCharacters` as `accepted characters`. */
function spell(key: string): string {
  return key.replaceAll(/([a-z])([A-Z])/g, (_, left: string, right: string) => `${left} ${right.toLowerCase()}`);
}

/** Prose stays prose; what may hold Markdown or code is set as code. */
function quote(text: string): string {
  if (/^[\p{L}\p{N} .,:;()'’–%/+-]*$/u.test(text)) {
    return text;
  }
  const fence = '`'.repeat(1 + Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length)));
  return `${fence} ${text.replaceAll('\n', '⏎ ')} ${fence}`;
}

function format(value: unknown): string {
  if (typeof value === 'number' && !Number.isInteger(value)) {
    return String(Number(value.toFixed(Math.abs(value) < 10 ? 3 : 0)));
  }
  return typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value);
}
