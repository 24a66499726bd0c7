// Text that is not ours in a message: VS Code makes links of it, also such as run commands. Free of VS Code.

/** A text in which VS Code finds no link that has a title of its own; every message with foreign text goes through it. */
export function plain(text: string): string {
  return text.replaceAll('](', '] (');
}
