// Where things lie, and what may be set from outside.

import * as fs from 'node:fs';
import * as path from 'node:path';

export const EXTENSION = path.resolve(import.meta.dirname, '..', '..');
export const REPOSITORY = path.dirname(EXTENSION);
/** What tests leave behind: logs, pictures, figures. Ignored by git, kept by CI. */
export const OUT = path.join(EXTENSION, 'out');
export const PICTURES = path.join(OUT, 'pictures');
export const VSIX = path.join(OUT, 'submodel.vsix');
export const CODE_SERVER = path.join(OUT, 'editor', 'node_modules', 'code-server');
/** A bundle to use instead of building one, while developing. */
export const GIVEN_BUNDLE = process.env['SUBMODEL_E2E_BUNDLE'];
export const SUBMODEL = process.env['SUBMODEL_E2E_PATH'] ?? path.join(REPOSITORY, '.venv', 'bin', 'submodel');
export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((file) => fs.existsSync(file));
