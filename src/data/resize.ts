/**
 * Images as an encoder is evaluated on: the shorter side resized, then the central square, with the very arithmetic of Pillow
 * on 8-bit pixels, which is what weights from elsewhere were tested with. Knows no files and no decoder.
 */

import { expectOptions, type Kinds } from '../checks/options.js';
import { ConfigError } from '../errors.js';
import type { Interpolation, RgbaImage, SquareOptions } from './source.js';

/** Fractional bits of Pillow's weights: a sum of 8-bit levels times these still fits in 32 bits. */
const precision = 22;
const half = 1 << (precision - 1);

/** The weight of a pixel by its distance, and how far it reaches, both in pixels of the coarser of both grids. */
const filters: Record<Interpolation, { reach: number; weight(at: number): number }> = {
  bicubic: { reach: 2, weight: cubic },
  bilinear: { reach: 1, weight: (at: number) => Math.max(1 - Math.abs(at), 0) },
};

const squareOptions: Kinds<SquareOptions> = { resize: 'number', interpolation: 'string' };

/** @throws ConfigError where an option is out of range */
export function checkSquare(size: number, options: SquareOptions): void {
  const { resize = size, interpolation = 'bicubic' } = expectOptions('square', options, squareOptions);
  if (!Number.isInteger(size) || size < 1)
    throw new ConfigError(`resizing to a square: expected a whole number of pixels of at least 1, got ${size}`);
  const most = Math.max(size, 4096);
  if (!Number.isInteger(resize) || resize < size || resize > most)
    throw new ConfigError(
      `resize: expected whole pixels from ${size}, the side that is cut out, to ${most}, got ${resize}`,
    );
  if (!Object.hasOwn(filters, interpolation))
    throw new ConfigError(`interpolation: expected ${Object.keys(filters).join(' or ')}, got ${interpolation}`);
}

interface Sides {
  readonly width: number;
  readonly height: number;
}

/** A part of an image: its sides, and where its first pixel lies. */
interface Region extends Sides {
  readonly left: number;
  readonly top: number;
}

/** The pixels of an image of these sides that `resizeSquare` looks at. */
export function squareRegion(sides: Sides, size: number, full: Sides = sides, options: SquareOptions = {}): Region {
  const { columns, rows } = weights(sides, size, full, options);
  const [left, top] = [columns.first[0], rows.first[0]];
  return { left, top, width: end(columns) - left, height: end(rows) - top };
}

/**
 * torchvision's Resize(resize, interpolation) of the shorter side, then CenterCrop(size), as Pillow computes them on 8-bit pixels.
 * Only what the central square needs is computed.
 *
 * @param full the sides of the original where `image` is already a reduced copy of it. The original's sides decide how long
 * the longer side becomes and where the square lies, so that rounding of the copy's own sides shifts nothing.
 * @param part where `image` is but a part of that copy: the copy's sides, and where the part lies. It must hold `squareRegion`.
 */
export function resizeSquare(
  image: RgbaImage,
  size: number,
  full: Sides = image,
  { left, top, ...sides }: Region = { left: 0, top: 0, width: image.width, height: image.height },
  options: SquareOptions = {},
): RgbaImage {
  const { columns, rows, isSame } = weights(sides, size, full, options);
  if (isSame && image.width === size && image.height === size) return image;
  const first = rows.first[0];
  const band = horizontally(image, left, first - top, end(rows) - top, columns, size);
  return { width: size, height: size, pixels: vertically(band, first, rows, size) };
}

function weights({ width, height }: Sides, size: number, full: Sides, options: SquareOptions) {
  checkSquare(size, options);
  const { resize = size, interpolation = 'bicubic' } = options;
  const shorter = Math.min(full.width, full.height);
  const across = Math.trunc((resize * full.width) / shorter);
  const down = Math.trunc((resize * full.height) / shorter);
  return {
    columns: weigh(width, across, size, interpolation),
    rows: weigh(height, down, size, interpolation),
    /** Whether every pixel stays as it is. */
    isSame: [width, height, across, down].every((side) => side === size),
  };
}

/** For each of the `size` central pixels of a resized side: the first pixel that it is made of, how many, and their weights. */
interface Weights {
  readonly first: Int32Array;
  readonly count: Int32Array;
  /** `most` to a pixel, of which `count` are used. */
  readonly fixed: Int32Array;
  readonly most: number;
}

/** The pixel after the last that is looked at. */
function end({ first, count }: Weights): number {
  return first[first.length - 1] + count[count.length - 1];
}

/** The weights that make `to` pixels of `from`, for the `size` in the middle. */
function weigh(from: number, to: number, size: number, interpolation: Interpolation): Weights {
  const { reach, weight: filter } = filters[interpolation];
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = reach * stretch;
  const most = Math.ceil(support) * 2 + 1;
  const offset = halfToEven((to - size) / 2);
  const first = new Int32Array(size);
  const count = new Int32Array(size);
  const fixed = new Int32Array(size * most);
  const exact = new Float64Array(most);
  for (let i = 0; i < size; i++) {
    const center = (offset + i + 0.5) * scale;
    const begin = Math.max(Math.trunc(center - support + 0.5), 0);
    const n = Math.min(Math.trunc(center + support + 0.5), from) - begin;
    let sum = 0;
    for (let t = 0; t < n; t++) {
      // The order of these operations is Pillow's: it decides the last bit.
      exact[t] = filter((t + begin - center + 0.5) * (1 / stretch));
      sum += exact[t];
    }
    for (let t = 0; t < n; t++) {
      const weight = (exact[t] / sum) * (1 << precision);
      fixed[i * most + t] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    first[i] = begin;
    count[i] = n;
  }
  return { first, count, fixed, most };
}

/** Keys' cubic with a = -0.5. */
function cubic(at: number): number {
  const a = -0.5;
  const x = Math.abs(at);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

/** Python's rounding, of halves to the even neighbor. */
function halfToEven(value: number): number {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below & 1) : Math.round(value);
}

/** Rows `top` to `bottom` of an image whose first column is number `left`, each resized to `size` RGB pixels of 8 bits. */
function horizontally(
  image: RgbaImage,
  left: number,
  top: number,
  bottom: number,
  columns: Weights,
  size: number,
): Uint8ClampedArray {
  const { width, pixels } = image;
  const { first, count, fixed, most } = columns;
  const band = new Uint8ClampedArray((bottom - top) * size * 3);
  let to = 0;
  for (let y = top; y < bottom; y++) {
    for (let i = 0; i < size; i++) {
      let at = (y * width + first[i] - left) * 4;
      let [r, g, b] = [half, half, half];
      const last = i * most + count[i];
      for (let w = i * most; w < last; w++, at += 4) {
        const weight = fixed[w];
        r += pixels[at] * weight;
        g += pixels[at + 1] * weight;
        b += pixels[at + 2] * weight;
      }
      band[to++] = r >> precision;
      band[to++] = g >> precision;
      band[to++] = b >> precision;
    }
  }
  return band;
}

/** The square's RGBA pixels of a band of rows, the first of which is row `top`. */
function vertically(band: Uint8ClampedArray, top: number, rows: Weights, size: number): Uint8ClampedArray<ArrayBuffer> {
  const { first, count, fixed, most } = rows;
  const pixels = new Uint8ClampedArray(size * size * 4).fill(255);
  const sums = new Int32Array(size * 3);
  let to = 0;
  for (let i = 0; i < size; i++) {
    sums.fill(half);
    let at = (first[i] - top) * sums.length;
    for (let w = i * most; w < i * most + count[i]; w++) {
      const weight = fixed[w];
      for (let x = 0; x < sums.length; x++) sums[x] += band[at++] * weight;
    }
    for (let x = 0; x < sums.length; to++) {
      pixels[to++] = sums[x++] >> precision;
      pixels[to++] = sums[x++] >> precision;
      pixels[to++] = sums[x++] >> precision;
    }
  }
  return pixels;
}
