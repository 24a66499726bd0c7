// Makes a page that can neither fetch nor run anything. Free of VS Code.

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:";
// The page expects a browser's white background; editors are often dark.
const STYLE =
  '<style>html { background: Canvas; color: CanvasText; color-scheme: light; } body { padding: 1rem; }</style>';

/** The policy, then the page. Nothing of the page comes first, so that none of its comments can swallow the policy. */
export function withPolicy(html: string): string {
  const head = `<meta http-equiv="Content-Security-Policy" content="${POLICY}">${STYLE}`;
  return `<!doctype html><html><head>${head}</head>${html}`;
}
