// A page that nothing can be fetched from or run in. Free of VS Code.

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:";
// The page was made for a browser's white; editors are often dark.
const STYLE =
  '<style>html { background: Canvas; color: CanvasText; color-scheme: light; } body { padding: 1rem; }</style>';

/** The page behind its policy. Nothing of the page comes first, so that no comment of its own can swallow the policy. */
export function withPolicy(html: string): string {
  const head = `<meta http-equiv="Content-Security-Policy" content="${POLICY}">${STYLE}`;
  return `<!doctype html><html><head>${head}</head>${html}`;
}
