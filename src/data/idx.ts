// IDX files (MNIST and its relatives), plain or gzipped.
import { DataError } from '../errors.js';
import { gunzip } from '../formats/gzip.js';
import { planarSource } from './derived.js';
import type { ImageSource, RgbaImage } from './source.js';

/** Bytes that a whole number takes, by the type in an IDX file's header: unsigned and signed bytes, int16, int32. */
const sizes: Readonly<Record<number, number>> = { 8: 1, 9: 1, 11: 2, 12: 4 };

/** An IDX file: sizes of the axes, slowest first, and the values' bytes, big-endian (a view of the file's). */
interface Idx {
  readonly shape: readonly number[];
  readonly type: number;
  readonly values: Uint8Array;
}

/**
 * Reads an IDX file (the format of MNIST): bytes 0, 0, type, rank, then a big-endian u32 per axis, then the values. Nothing is allocated by
 * what the header says.
 *
 * @param isLabels takes whole numbers of any type, and not unsigned bytes alone
 */
export function parseIdx(bytes: Uint8Array, name: string, isLabels = false): Idx {
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0) {
    throw new DataError(`${name}: not an IDX file: expected it to begin with 0, 0, got ${describe(bytes)}`);
  }
  const [, , type, rank] = bytes;
  if (!(isLabels ? sizes[type] : type === 8)) {
    const expected = isLabels ? 'of a whole number (type 8, 9, 11 or 12)' : 'of type 8 (unsigned byte)';
    throw new DataError(`${name}: expected IDX values ${expected}, got type ${type}`);
  }
  if (rank < 1 || rank > 4) throw new DataError(`${name}: expected 1 to 4 axes in an IDX file, got ${rank}`);
  const start = 4 + 4 * rank;
  if (bytes.length < start) {
    throw new DataError(`${name}: the IDX header takes ${start} bytes, the file has ${bytes.length}: it is cut short`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  // A product of four u32 may pass 2^53, but never rounds down to the length of a real file.
  const count = shape.reduce((product, size) => product * size, sizes[type]);
  if (bytes.length - start !== count) {
    throw new DataError(
      `${name}: the IDX header declares ${shape.join(' x ')} = ${count} bytes, the file holds ${bytes.length - start}; ` +
        `it is ${bytes.length - start < count ? 'cut short' : 'followed by something else'}: fetch it again`,
    );
  }
  return { shape, type, values: bytes.subarray(start) };
}

/** The class of each item: of labels with several columns, as QMNIST has them, the first. */
function labelsOf({ shape, type, values }: Idx, name: string): Int32Array<ArrayBuffer> {
  const bytes = sizes[type];
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  const read = { 8: view.getUint8, 9: view.getInt8, 11: view.getInt16, 12: view.getInt32 }[type as 8 | 9 | 11 | 12];
  const columns = shape.slice(1).reduce((product, size) => product * size, 1);
  const labels = Int32Array.from({ length: shape[0] }, (_, i) => read.call(view, i * columns * bytes, false));
  const wrong = labels.find((label) => label < 0 || label > 65_535);
  if (wrong !== undefined) throw new DataError(`${name}: expected labels from 0 to 65535, got ${wrong}`);
  return labels;
}

/**
 * Gray images (N, H, W) and their labels (N) from two IDX files, each plain or gzipped.
 * Every label must be below `classes.length` where classes are named.
 */
export async function openIdx(files: {
  name: string;
  images: Uint8Array;
  labels?: Uint8Array;
  classes?: readonly string[];
}): Promise<ImageSource<RgbaImage>> {
  const { name, classes } = files;
  const images = parseIdx(await gunzip(files.images, `${name} images`), `${name} images`);
  const [length, height, width] = images.shape;
  if (images.shape.length !== 3 || images.values.length === 0) {
    throw new DataError(`${name} images: expected N x H x W with at least one pixel, got ${images.shape.join(' x ')}`);
  }
  let labels: Int32Array | undefined;
  if (files.labels) {
    const read = parseIdx(await gunzip(files.labels, `${name} labels`), `${name} labels`, true);
    if (read.shape.length > 2 || read.shape[0] !== length || read.values.length === 0) {
      throw new DataError(`${name} labels: expected ${length}, one an image, got ${read.shape.join(' x ')}`);
    }
    labels = labelsOf(read, `${name} labels`);
    const highest = labels.reduce((most, label) => Math.max(most, label), 0);
    if (classes && highest >= classes.length) {
      throw new DataError(`${name} labels: expected labels from 0 to ${classes.length - 1}, got ${highest}`);
    }
  }
  const area = height * width;
  const planes = Array.from({ length }, (_, item) => images.values.subarray(item * area, (item + 1) * area));
  return planarSource({ name, width, height, ...(labels && { labels }), ...(classes && { classes }) }, 1, planes);
}

function describe(bytes: Uint8Array): string {
  return bytes.length === 0 ? 'an empty file' : Array.from(bytes.subarray(0, 4)).join(', ');
}
