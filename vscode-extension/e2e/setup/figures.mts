// What the tests have measured, for people to read: nothing here passes or fails.

import * as fs from 'node:fs';
import * as path from 'node:path';

import { OUT } from './places.mjs';

const FILE = path.join(OUT, 'figures.json');

export function note(name: string, value: number | string | number[]): void {
  const known: unknown = fs.existsSync(FILE) ? JSON.parse(fs.readFileSync(FILE, 'utf8')) : {};
  fs.writeFileSync(FILE, `${JSON.stringify({ ...(known as object), [name]: value }, null, 2)}\n`);
  console.log(`${name}: ${JSON.stringify(value)}`);
}
