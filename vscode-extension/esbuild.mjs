// Bundles src/extension.ts with what it needs into dist/extension.js; vscode itself comes from the editor.
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';

import { build } from 'esbuild';

const isProduction = process.argv.includes('--production');
// Licences whose code may be bundled under Apache-2.0; a package with another one fails the build.
const LICENCES = ['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT'];

const { metafile } = await build({
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
  metafile: true,
});

if (isProduction) {
  copyFileSync('../LICENSE', 'LICENSE'); // the package carries its own
  writeFileSync('THIRD-PARTY-NOTICES.txt', makeNotices(Object.keys(metafile.inputs)));
}

// The licence texts of the npm packages that the bundled files come from, as one text.
function makeNotices(inputs) {
  const folders = inputs.flatMap((input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(input) ?? []);
  const parts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    if (!LICENCES.includes(license) || !file) {
      throw new Error(
        `${name} ${version} can't be bundled: licence ${license}, its text ${file ?? 'not in the package'}`,
      );
    }
    return `${'='.repeat(80)}\n${name} ${version} (${license})\n\n${readFileSync(`${folder}/${file}`, 'utf8').trim()}\n`;
  });
  return ['dist/extension.js holds code of these packages.\n', ...parts].join('\n');
}
