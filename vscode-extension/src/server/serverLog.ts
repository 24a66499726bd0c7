// The server's log on stderr, line by line. Free of VS Code.

const LEVELS = { DEBUG: 'debug', INFO: 'info', WARNING: 'warn', ERROR: 'error', CRITICAL: 'error' } as const;

/** `2026-11-25 20:01:02,003 INFO lsp_server.service: Serving x` as its level and `lsp_server.service: Serving x`. */
export function readServerLine(line: string): {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly text: string;
} {
  const match = /^[\d-]{10} [\d:,.]{8,12} (DEBUG|INFO|WARNING|ERROR|CRITICAL) (.*)$/.exec(line);
  const [, level, text] = match ?? [];
  return level !== undefined && text !== undefined
    ? { level: LEVELS[level as keyof typeof LEVELS], text }
    : { level: 'warn', text: line }; // a traceback, or output of native code
}
