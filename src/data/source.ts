// What a source of images is, and what an image: the types, and the check of a source.
import { textOf } from '../checks/text_of.js';
import { DataError } from '../errors.js';

/**
 * A decoded image: `height` rows of `width` RGBA pixels, 8 bits a channel, sRGB. Alpha is 255 in all that the library decodes;
 * where it is less, the pixel is laid on mid-gray.
 */
export interface RgbaImage {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array | Uint8ClampedArray;
}

/**
 * What a canvas's `getImageData()` gives, in sRGB and 8 bits a channel. Pixels that are not opaque are laid on mid-gray, as in
 * images of files.
 */
export interface ImageDataLike {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray;
  /** 'srgb' where it is absent; another is refused. */
  readonly colorSpace?: string;
}

/** A decoded image in either form. */
export type ImageLike = RgbaImage | ImageDataLike;

/** The filters that images are resized by; either averages where it makes them smaller. */
export type Interpolation = 'bicubic' | 'bilinear';

export interface SquareOptions {
  /** What the shorter side is resized to before the center crop; default the square's side, never less. */
  readonly resize?: number | undefined;
  /** Default 'bicubic'. */
  readonly interpolation?: Interpolation | undefined;
}

/**
 * Images by number. Item numbers and labels stay the same for as long as the files behind them do. P is the form that they
 * come in.
 */
export interface ImageSource<P extends ImageLike = ImageLike> {
  readonly name: string;
  readonly length: number;
  /** Images an item has: 1 (both views are augmentations of it) or 2 (one for each view). */
  readonly images: 1 | 2;
  /** One class number an item, counted from 0; absent where nothing is labeled. */
  readonly labels?: Int32Array;
  /** Names of the classes, by class number. */
  readonly classes?: readonly string[];
  /** A name for every item that does not depend on the other items: a path, a code. */
  readonly names?: readonly string[];
  /** 32 bits of a hash of every item's bytes, where they are known: copies have the same. */
  readonly digests?: Uint32Array;
  /**
   * No image that `load()` gives is larger: pixels of a side, and in all. Memory for batches is then no larger than these
   * need; default 128 MiB.
   */
  readonly bound?: { readonly side: number; readonly pixels: number };
  /**
   * Width and height of every image that `load()` gives, where they are known, items in order. A loader then knows without
   * decoding anything whether all of them fit its budget.
   */
  readonly sizes?: Uint32Array;
  /** Rejects with a DataError where the image cannot be had. `image` is 0 where items have one. */
  load(item: number, image: 0 | 1): Promise<P>;
  /**
   * The image as evaluation sees it, `size` x `size` pixels: the shorter side resized to `size`, or as `options` say, then the
   * central square. A source that has this makes it from all the pixels there are, of which `load()` may give fewer.
   */
  square?(item: number, image: 0 | 1, size: number, options?: SquareOptions): Promise<P>;
}

/** Throws a DataError unless `source` is one: items that are counted and can be loaded, with lists as long as its items. */
export function checkSource(source: ImageSource): void {
  const { name, length, images, load } = Object(source) as ImageSource;
  if (!(Number.isInteger(length) && length >= 0 && (images === 1 || images === 2) && typeof load === 'function'))
    throw new DataError(
      `${textOf(name ?? 'images')}: expected a source with a whole length, 1 or 2 images an item and load(), ` +
        `got length ${textOf(length)}, images ${textOf(images)}, load ${typeof load}`,
    );
  for (const key of ['labels', 'names', 'digests'] as const) {
    const count = source[key]?.length;
    if (count !== undefined && count !== length)
      throw new DataError(`${name}: expected ${key} of ${length} items, got ${count}`);
  }
  const { sizes } = source;
  if (sizes && sizes.length !== 2 * length * images)
    throw new DataError(`${name}: expected sizes of ${2 * length * images} sides, two an image, got ${sizes.length}`);
}

/** Throws a DataError unless `source` has this item and this image of it. */
export function checkItem(source: Pick<ImageSource, 'name' | 'length' | 'images'>, item: number, image: number): void {
  if (!Number.isInteger(item) || item < 0 || item >= source.length) {
    throw new DataError(`${source.name}: expected an item from 0 to ${source.length - 1}, got ${item}`);
  }
  if (image !== 0 && !(image === 1 && source.images === 2)) {
    throw new DataError(`${source.name}: an item has ${source.images} image(s), got image ${image}`);
  }
}
