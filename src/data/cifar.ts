import { expectOneOf } from '../checks/one_of.js';
import { DataError } from '../errors.js';
import { planarSource } from './derived.js';
import type { ImageSource, RgbaImage } from './source.js';

const SIDE = 32;
const PIXELS = 3 * SIDE * SIDE;

/** The classes of CIFAR-10, by label. */
export const CIFAR10_CLASSES: readonly string[] = 'airplane automobile bird cat deer dog frog horse ship truck'.split(
  ' ',
);

/**
 * CIFAR's binary files, one after another: records of a label (CIFAR-100: a coarse one, then a fine one, which is used)
 * and 3072 bytes, the red, green and blue planes of a 32 x 32 image. `classes` are the names of the (fine) labels.
 */
export function openCifar(
  variant: 'cifar10' | 'cifar100',
  name: string,
  files: readonly { name: string; bytes: Uint8Array }[],
  classes?: readonly string[],
): ImageSource<RgbaImage> {
  expectOneOf('openCifar: variant', variant, ['cifar10', 'cifar100']);
  const heads = variant === 'cifar10' ? 1 : 2;
  const kinds = variant === 'cifar10' ? [10] : [20, 100];
  const record = heads + PIXELS;
  if (classes && classes.length !== kinds[heads - 1]) {
    throw new DataError(`${name}: expected the names of ${kinds[heads - 1]} classes, got ${classes.length}`);
  }
  const planes: Uint8Array[] = [];
  const labels: number[] = [];
  for (const { name: file, bytes } of files) {
    if (bytes.length === 0 || bytes.length % record !== 0) {
      throw new DataError(
        `${file}: expected records of ${record} bytes (${variant} binary), got ${bytes.length} bytes, ` +
          `${Math.floor(bytes.length / record)} records and ${bytes.length % record} bytes more: not ${variant}, or cut short`,
      );
    }
    for (let at = 0; at < bytes.length; at += record) {
      for (let head = 0; head < heads; head++) {
        const label = bytes[at + head];
        if (label >= kinds[head]) {
          throw new DataError(
            `${file}: record ${at / record} has label ${label}, expected 0 to ${kinds[head] - 1}: not ${variant} binary`,
          );
        }
      }
      labels.push(bytes[at + heads - 1]);
      planes.push(bytes.subarray(at + heads, at + record));
    }
  }
  if (planes.length === 0) throw new DataError(`${name}: expected at least one ${variant} file, got none`);
  return planarSource(
    { name, width: SIDE, height: SIDE, labels: Int32Array.from(labels), ...(classes && { classes }) },
    3,
    planes,
  );
}
