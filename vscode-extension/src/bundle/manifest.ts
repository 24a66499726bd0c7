// Reads bundle.json. Free of VS Code.

import type { BaseFacts, FileFacts, Manifest } from '../documents';

/** What people see of a bundle. */
export interface BundleFacts {
  readonly folder: string;
  readonly base: string;
  readonly parameters: number | undefined;
  readonly bytes: number | undefined;
  readonly builtAt: Date;
}

export interface BundleInfo extends BundleFacts {
  readonly graphs: string; // the SHA-256 of the files of its graphs
}

const GRAPHS = 'onnx/';

/** Reads the text of a bundle.json; raises if it is none. */
export function readManifest(text: string, folder: string, builtAt: Date): BundleInfo {
  const document: Unchecked<Manifest> = toObject(JSON.parse(text)) ?? {};
  const files = toObject(document.files);
  if (!files) {
    throw new Error('it lists no files');
  }
  const base: Unchecked<BaseFacts> = toObject(document.base) ?? {};
  const graphs = Object.entries(files)
    .filter(([name]) => name.startsWith(GRAPHS))
    .map(([, facts]) => String((toObject(facts) as Unchecked<FileFacts> | undefined)?.sha256));
  const sizes = Object.values(files).map((facts) => (toObject(facts) as Unchecked<FileFacts> | undefined)?.bytes);
  return {
    folder,
    base: typeof base.name === 'string' ? base.name : 'unknown base',
    parameters: typeof document.parameters === 'number' ? document.parameters : undefined,
    bytes: sizes.every((size) => typeof size === 'number') ? sizes.reduce((sum, size) => sum + size, 0) : undefined,
    graphs: graphs.join(),
    builtAt,
  };
}

/** 80,708,544 as `81M`. */
export function shortCount(count: number): string {
  if (count >= 1e9) {
    return `${(count / 1e9).toFixed(1)}B`;
  }
  return count >= 1e6 ? `${Math.round(count / 1e6)}M` : `${Math.round(count / 1e3)}k`;
}

/** Bytes as `98 MB`. */
export function shortBytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`;
}

/** `smollm2-135m, 81M parameters, 98 MB`. */
export function describeBundle(bundle: BundleFacts): string {
  return [
    bundle.base,
    bundle.parameters === undefined ? undefined : `${shortCount(bundle.parameters)} parameters`,
    bundle.bytes === undefined ? undefined : shortBytes(bundle.bytes),
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

/** The keys of a document, whose values nobody has checked. */
type Unchecked<T> = { readonly [Key in keyof T]?: unknown };

function toObject(value: unknown): object | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
}
