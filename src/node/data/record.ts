// data.json: every file of a run's data and its digest, and the comparison with the data of a continued run.
import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { DataError } from '../../errors.js';
import { readBytes } from '../system/files.js';
import { count, type Skipped } from './left_out.js';

/**
 * What a run's data were made of, file by file: kept in its folder as data.json, and as a digest in its checkpoint, so that it is not
 * continued on other data without a word. Knows no images.
 */
export interface DataRecord {
  /** As the data were named. */
  readonly name: string;
  readonly files: readonly FileRecord[];
  /** Everything that was left out, and why. */
  readonly leftOut: readonly Skipped[];
}

/** A file by its path below the folder of the data. */
export interface FileRecord {
  readonly path: string;
  readonly bytes: number;
  /** Of its content (`contentDigest`), where all of it was read. */
  readonly digest?: string;
  readonly use: 'train' | 'test' | 'skipped';
}

const format = 'slimgrad data 1';

/** The first 48 bits of the SHA-256 of a file's bytes, in hexadecimal. */
export function contentDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 12);
}

/** 64 hexadecimal digits that are other ones for other data: names, sizes, contents, and what is done with each. */
export function digestOf({ files }: DataRecord): string {
  const hash = createHash('sha256');
  for (const { path, bytes, digest = '', use } of files) hash.update(`${path}\0${bytes}\0${digest}\0${use}\n`);
  return hash.digest('hex');
}

/** The text of data.json, a line a file. */
export function* writeRecord({ name, files, leftOut }: DataRecord): Generator<string> {
  const list = function* (rows: readonly object[]) {
    for (const [i, row] of rows.entries()) yield `${i > 0 ? ',' : ''}\n    ${JSON.stringify(row)}`;
  };
  yield `{\n  "format": ${JSON.stringify(format)},\n  "name": ${JSON.stringify(name)},\n  "files": [`;
  yield* list(files);
  yield '\n  ],\n  "leftOut": [';
  yield* list(leftOut);
  yield '\n  ]\n}\n';
}

/** Reads data.json; undefined where it is damaged or something else, which only makes messages poorer. */
export function readRecord(text: string): DataRecord | undefined {
  try {
    const record = JSON.parse(text) as DataRecord & { format: string };
    const isWhole = record.format === format && Array.isArray(record.files) && Array.isArray(record.leftOut);
    return isWhole && record.files.every((file) => typeof file?.path === 'string') ? record : undefined;
  } catch {
    return undefined;
  }
}

/** How data differ from what they were, by paths. */
export interface Difference {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  /** Used otherwise than before: held out and trained on, or no longer decoded. */
  readonly moved: readonly string[];
}

/** Compares two records; digests and uses only where both have them. */
export function differenceOf(before: readonly FileRecord[], after: readonly Measured[]): Difference {
  // Two names may be one in Unicode's composed form.
  const known = new Map<string, FileRecord[]>();
  for (const file of before) known.set(file.path, [...(known.get(file.path) ?? []), file]);
  const difference = { added: [] as string[], removed: [] as string[], changed: [] as string[], moved: [] as string[] };
  for (const file of after) {
    const old = known.get(file.path)?.shift();
    if (!old) difference.added.push(file.path);
    else if (old.bytes !== file.bytes || (old.digest && file.digest && old.digest !== file.digest))
      difference.changed.push(file.path);
    else if (file.use !== undefined && old.use !== file.use) difference.moved.push(file.path);
  }
  for (const files of known.values()) difference.removed.push(...files.map(({ path }) => path));
  return difference;
}

/** A file of which it may not be known yet what becomes of it. */
type Measured = Pick<FileRecord, 'path' | 'bytes'> & Partial<FileRecord>;

export const isSame = (difference: Difference) => Object.values(difference).every((paths) => paths.length === 0);

/** "2 added (a.png, b.png), 1 changed (c.png)" */
export function differenceText({ added, removed, changed, moved }: Difference): string {
  const groups = [
    [added, 'added'],
    [removed, 'removed'],
    [changed, 'changed'],
    [moved, 'used otherwise (held out, trained on or skipped)'],
  ] as const;
  return groups
    .filter(([paths]) => paths.length > 0)
    .map(([paths, what]) => {
      const more = paths.length > 3 ? `, and ${count(paths.length - 3)} more` : '';
      return `${count(paths.length)} ${what} (${paths.slice(0, 3).join(', ')}${more})`;
    })
    .join(', ');
}

/** The error of a run that would be continued on other data. */
export function changedDataError(name: string, what: string): DataError {
  return new DataError(
    `${name}: the data are not those that the run was begun with: ${what}; put them back, or give --accept-data to go on with ` +
      'what is there now',
  );
}

/** Reads files, and notes each. */
export class RecordedFiles {
  readonly #files: FileRecord[] = [];

  async read(path: string, use: FileRecord['use']): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await readBytes(path);
    this.#files.push({ path: basename(path), bytes: bytes.length, digest: contentDigest(bytes), use });
    return bytes;
  }

  record(name: string): DataRecord {
    return { name, files: this.#files, leftOut: [] };
  }
}
