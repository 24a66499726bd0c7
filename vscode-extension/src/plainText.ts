// Foreign text in messages: VS Code makes links of it, even links that run commands. Free of VS Code.

/** A text in which VS Code finds no link with a title. Every message with foreign text goes through this function. */
export function plain(text: string): string {
  return text.replaceAll('](', '] (');
}
