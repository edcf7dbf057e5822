// What a source of pictures is, and what a picture: the types, and the check of a source.
import { textOf } from '../checks/text_of.js';
import { DataError } from '../errors.js';

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

/** The filters that pictures are resized by; either averages where it makes them smaller. */
export type Interpolation = 'bicubic' | 'bilinear';

export interface SquareOptions {
  /** What the shorter side is resized to before the centre is cut out: the square's side where left out, never less. */
  readonly resize?: number | undefined;
  /** 'bicubic' where left out. */
  readonly interpolation?: Interpolation | undefined;
}

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
