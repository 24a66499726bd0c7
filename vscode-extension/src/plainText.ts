// Foreign text: VS Code makes links of it, even links that run commands, and a terminal obeys it. Free of VS Code.

/** A text in which VS Code finds no link with a title. Every message with foreign text goes through this function. */
export function plain(text: string): string {
  return text.replaceAll('](', '] (');
}

/** A text with `?` for each character that a terminal obeys or does not show, but for line ends. */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{C}\n]|[\u2028\u2029]/gu, '?');
}
