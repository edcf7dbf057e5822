// What a source gives, made an image that the rest may rely on: sides, length and kind of its bytes, color space, alpha.
// It knows nothing of files, of sizes that are wanted, nor of the GPU.
import { DataError } from '../errors.js';
import type { ImageSource, RgbaImage, SquareOptions } from './source.js';

/** What pixels that are not opaque are laid on, wherever an image comes from: mid-gray. */
export const MID_GRAY = { r: 128, g: 128, b: 128 } as const;

/** An image of a source, checked, on mid-gray. Throws a DataError if it is invalid, or larger than the source declares. */
export async function loadImage(source: ImageSource, item: number, image: 0 | 1): Promise<RgbaImage> {
  const loaded = imageOf(await source.load(item, image), placeOf(source, item, image));
  const { bound } = source;
  const { width, height } = loaded;
  if (bound && (Math.max(width, height) > bound.side || width * height > bound.pixels))
    throw new DataError(
      `${placeOf(source, item, image)}: expected sides of at most ${bound.side} and ${bound.pixels} pixels in all, ` +
        `as the source's bound says, got ${width} x ${height}`,
    );
  return loaded;
}

/** What `source.square()` gives, checked as by `loadImage`. */
export async function loadSquare(
  source: ImageSource,
  item: number,
  image: 0 | 1,
  size: number,
  options?: SquareOptions,
): Promise<RgbaImage> {
  const place = placeOf(source, item, image);
  const square = imageOf(await source.square?.(item, image, size, options), place);
  if (square.width !== size || square.height !== size)
    throw new DataError(
      `${place}: expected ${size} x ${size} pixels of the source's square(), got ${square.width} x ${square.height}`,
    );
  return square;
}

function placeOf({ name, images }: ImageSource, item: number, image: 0 | 1): string {
  return `${name}: item ${item}${images === 2 ? `, image ${image}` : ''}`;
}

/** An image or a canvas's ImageData as an image, on mid-gray; opaque bytes are those given, not a copy. */
export function imageOf(given: unknown, place: string): RgbaImage {
  const { width, height, pixels, data, colorSpace = 'srgb' } = (given ?? {}) as Record<string, unknown>;
  if (!isSide(width) || !isSide(height))
    throw new DataError(
      `${place}: expected an image { width, height, pixels } or an ImageData, got sides ${width} and ${height}`,
    );
  if (colorSpace !== 'srgb')
    throw new DataError(
      `${place}: expected pixels in sRGB, got colorSpace '${colorSpace}'; ` +
        "ask the canvas for them by getImageData(x, y, width, height, { colorSpace: 'srgb' })",
    );
  const bytes = pixels === undefined ? data : pixels;
  const length = width * height * 4;
  if (!isBytes(bytes) || bytes.length !== length) {
    const kind = bytes === undefined || bytes === null ? String(bytes) : bytes.constructor?.name;
    const got = (bytes as { length?: number } | null | undefined)?.length;
    const remedy = kind?.startsWith('Float') ? "; a canvas gives 8 bits by { pixelFormat: 'rgba-unorm8' }" : '';
    throw new DataError(
      `${place}: expected a Uint8Array of ${length} bytes, RGBA of ${width} x ${height} pixels, got ${kind} of ${got}${remedy}`,
    );
  }
  return { width, height, pixels: onMidGray(bytes) };
}

const isSide = (side: unknown): side is number => Number.isInteger(side) && (side as number) >= 1;

/** Also where the array comes from another window. */
function isBytes(bytes: unknown): bytes is Uint8Array | Uint8ClampedArray {
  return /^\[object Uint8(Clamped)?Array\]$/.test(Object.prototype.toString.call(bytes));
}

/** Lays RGBA pixels on mid-gray: value · alpha + gray · (255 − alpha) over 255, rounded down, as libvips has it. */
function onMidGray(pixels: Uint8Array | Uint8ClampedArray): Uint8Array | Uint8ClampedArray {
  let first = 3;
  while (first < pixels.length && pixels[first] === 255) first += 4;
  if (first >= pixels.length) return pixels;
  const gray = [MID_GRAY.r, MID_GRAY.g, MID_GRAY.b];
  const opaque = new Uint8Array(pixels);
  for (let at = first - 3; at < pixels.length; at += 4) {
    const alpha = pixels[at + 3];
    for (let c = 0; c < 3; c++) opaque[at + c] = Math.floor((pixels[at + c] * alpha + gray[c] * (255 - alpha)) / 255);
    opaque[at + 3] = 255;
  }
  return opaque;
}
