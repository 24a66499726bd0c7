// Bundles src/extension.ts with what it needs into dist/extension.js; vscode itself comes from the editor.
import { copyFileSync } from 'node:fs';

import { build } from 'esbuild';

const isProduction = process.argv.includes('--production');

await build({
  entryPoints: ['src/extension.ts'],
  outfile: 'dist/extension.js',
  bundle: true,
  platform: 'node',
  target: 'node20', // VS Code 1.91 to now
  format: 'cjs',
  external: ['vscode'],
  mainFields: ['module', 'main'],
  minify: isProduction,
  sourcemap: isProduction ? false : 'linked',
  logLevel: 'warning',
});

if (isProduction) {
  copyFileSync('../LICENSE', 'LICENSE'); // the package carries its own
}
