import { textOf } from '../checks/text_of.js';
import { DataError } from '../errors.js';
import { loadPicture, loadSquare } from './picture.js';
import type { SquareOptions } from './resize.js';

/**
 * A decoded picture: `height` rows of `width` RGBA pixels, 8 bits a channel, sRGB. Alpha is 255 in all that the library decodes;
 * where it is less, the pixel is laid on mid-grey.
 */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array | Uint8ClampedArray;
}

/**
 * What a canvas's `getImageData()` gives, in sRGB and 8 bits a channel. Pixels that are not opaque are laid on mid-grey, as in
 * pictures of files.
 */
export interface ImageDataLike {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
  /** 'srgb' where it is absent; another is refused. */
  readonly colorSpace?: string;
}

/** A decoded picture in either form. */
export type PictureLike = Picture | ImageDataLike;

/**
 * Pictures by number. Item numbers and labels stay the same for as long as the files behind them do. P is the form that they
 * come in.
 */
export interface ImageSource<P extends PictureLike = PictureLike> {
  readonly name: string;
  readonly length: number;
  /** Pictures an item has: 1 (both views are augmentations of it) or 2 (one for each view). */
  readonly pictures: 1 | 2;
  /** One class number an item, counted from 0; absent where nothing is labelled. */
  readonly labels?: Int32Array;
  /** Names of the classes, by class number. */
  readonly classes?: readonly string[];
  /** A name for every item that stays its own whatever becomes of the others: a path, a code. */
  readonly names?: readonly string[];
  /** 32 bits of a hash of every item's bytes, where they are known: copies have the same. */
  readonly digests?: Uint32Array;
  /**
   * No picture that `load()` gives is larger: pixels of a side, and in all. Memory for batches is then no larger than these
   * need; where nothing is said, 128 MiB.
   */
  readonly bound?: { readonly side: number; readonly pixels: number };
  /** Rejects with a DataError where the picture cannot be had. `picture` is 0 where items have one. */
  load(item: number, picture: 0 | 1): Promise<P>;
  /**
   * The picture as evaluation sees it, `size` x `size` pixels: the shorter side resized to `size`, or as `options` say, then the
   * central square. A source that has this makes it from all the pixels there are, of which `load()` may give fewer.
   */
  square?(item: number, picture: 0 | 1, size: number, options?: SquareOptions): Promise<P>;
}

/** Throws a DataError unless `source` is one: items that are counted and can be loaded, and for each of them what is told of all. */
export function checkSource(source: ImageSource): void {
  const { name, length, pictures, load } = Object(source) as ImageSource;
  if (!(Number.isInteger(length) && length >= 0 && (pictures === 1 || pictures === 2) && typeof load === 'function'))
    throw new DataError(
      `${textOf(name ?? 'pictures')}: expected a source with a whole length, 1 or 2 pictures an item and load(), ` +
        `got length ${textOf(length)}, pictures ${textOf(pictures)}, load ${typeof load}`,
    );
  for (const key of ['labels', 'names', 'digests'] as const) {
    const count = source[key]?.length;
    if (count !== undefined && count !== length)
      throw new DataError(`${name}: expected ${key} of ${length} items, got ${count}`);
  }
}

/** Throws a DataError unless `source` has this item and this picture of it. */
export function checkItem(
  source: Pick<ImageSource, 'name' | 'length' | 'pictures'>,
  item: number,
  picture: number,
): void {
  if (!Number.isInteger(item) || item < 0 || item >= source.length) {
    throw new DataError(`${source.name}: expected an item from 0 to ${source.length - 1}, got ${item}`);
  }
  if (picture !== 0 && !(picture === 1 && source.pictures === 2)) {
    throw new DataError(`${source.name}: an item has ${source.pictures} picture(s), got picture ${picture}`);
  }
}

/** A source of pictures whose bytes are grey (channels = 1) or planar RGB (channels = 3), one picture after another. */
export function planarSource(
  about: { name: string; width: number; height: number; labels?: Int32Array; classes?: readonly string[] },
  channels: 1 | 3,
  planes: readonly Uint8Array[],
): ImageSource<Picture> {
  const { width, height } = about;
  const area = width * height;
  const source: ImageSource<Picture> = {
    name: about.name,
    length: planes.length,
    pictures: 1,
    bound: { side: Math.max(width, height), pixels: area },
    ...(about.labels && { labels: about.labels }),
    ...(about.classes && { classes: about.classes }),
    async load(item, picture) {
      checkItem(source, item, picture);
      const from = planes[item];
      const pixels = new Uint8Array(area * 4);
      for (let p = 0; p < area; p++) {
        for (let c = 0; c < 3; c++) pixels[p * 4 + c] = from[channels === 1 ? p : c * area + p];
        pixels[p * 4 + 3] = 255;
      }
      return { width, height, pixels };
    },
  };
  return source;
}

/** The items of `source` that `items` names, in that order. */
export function subset<P extends PictureLike>(
  source: ImageSource<P>,
  items: readonly number[],
  name = source.name,
): ImageSource<P> {
  for (const item of items) checkItem(source, item, 0);
  return derived(source, name, items.length, source.pictures, (item, picture) => [items[item], picture]);
}

/** A source of `length` items, of which each is made of the item and picture of `source` that `origin` says. */
function derived<P extends PictureLike>(
  source: ImageSource<P>,
  name: string,
  length: number,
  pictures: 1 | 2,
  origin: (item: number, picture: 0 | 1) => readonly [item: number, picture: 0 | 1],
): ImageSource<P> {
  const { labels, classes, names, digests, bound } = source;
  const items = Array.from({ length }, (_, item) => origin(item, 0)[0]);
  const own: ImageSource<P> = {
    name,
    length,
    pictures,
    ...(labels && { labels: Int32Array.from(items, (item) => labels[item]) }),
    ...(classes && { classes }),
    ...(names && { names: items.map((item) => names[item]) }),
    ...(digests && { digests: Uint32Array.from(items, (item) => digests[item]) }),
    ...(bound && { bound }),
    async load(item, picture) {
      checkItem(own, item, picture);
      return source.load(...origin(item, picture));
    },
    ...(source.square && {
      async square(item, picture, size, options) {
        checkItem(own, item, picture);
        return source.square!(...origin(item, picture), size, options);
      },
    }),
  };
  return own;
}

/** A picture of half the width and height, rounded up: the means of 2 x 2 pixels. */
export function halve({ width, height, pixels }: Picture): Picture {
  const [w, h] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const half = new Uint8Array(w * h * 4);
  for (let y = 0; y < h; y++) {
    const rows = [2 * y * width, Math.min(2 * y + 1, height - 1) * width];
    for (let x = 0; x < w; x++) {
      const columns = [2 * x, Math.min(2 * x + 1, width - 1)];
      for (let c = 0; c < 4; c++) {
        let sum = 2; // rounds to nearest
        for (const row of rows) for (const column of columns) sum += pixels[(row + column) * 4 + c];
        half[(y * w + x) * 4 + c] = sum >> 2;
      }
    }
  }
  return { width: w, height: h, pixels: half };
}

/** The pictures of `source`, halved while the shorter side is at least twice `side`. */
export function reduced(source: ImageSource, side: number): ImageSource<Picture> {
  const { square, ...rest } = source;
  return {
    ...rest,
    async load(item, picture) {
      let loaded = await loadPicture(source, item, picture);
      while (Math.min(loaded.width, loaded.height) >= 2 * side) loaded = halve(loaded);
      return loaded;
    },
    ...(square && {
      square: (item, picture, size, options) => loadSquare(source, item, picture, size, options),
    }),
  };
}

/** Every picture as an item of its own: item 2i + p is picture p of item i. A source of single pictures stays as it is. */
export function eachPicture<P extends PictureLike>(source: ImageSource<P>): ImageSource<P> {
  if (source.pictures === 1) return source;
  return derived(source, source.name, source.length * 2, 1, (item) => [item >> 1, (item & 1) as 0 | 1]);
}

/** Picture `picture` of every item, as a source of single pictures. */
export function onePicture<P extends PictureLike>(source: ImageSource<P>, picture: 0 | 1): ImageSource<P> {
  return derived(source, source.name, source.length, 1, (item) => [item, picture]);
}
