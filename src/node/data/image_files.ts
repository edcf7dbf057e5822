// The image files of a folder, checked and decoded once; what fits in memory is kept. Knows no parts and no classes.
import { availableParallelism } from 'node:os';
import { expectOneOf } from '../../checks/one_of.js';
import type { Kinds } from '../../checks/options.js';
import type { SquareOptions } from '../../data/source.js';
import { checkItem, type ImageSource, type RgbaImage } from '../../data/source.js';
import { ConfigError, DataError } from '../../errors.js';
import { readBytes } from '../system/files.js';
import { decode, decodeSquare, probe, UnreadFormat } from './decode.js';
import type { LeftOut, Skipped } from './left_out.js';
import { contentDigest } from './record.js';
import type { FoundImage } from './scan.js';

/**
 * The image files of a folder: each is checked once, on opening, and decoded by itself whenever it is asked for; what fits in memory
 * is kept. Knows nothing of parts and classes.
 */

export interface ImageFileOptions {
  /**
   * Larger images are reduced while decoding until their shorter side has `side` pixels, or the longer one twice as many; default
   * 256.
   */
  readonly side?: number;
  /**
   * Checks images by decoding them as squares of this size, as an encoder of that size is evaluated on, and keeps those. For
   * images that are embedded and not trained on.
   */
  readonly square?: (SquareOptions & { readonly size: number }) | undefined;
  /**
   * How every file is checked on opening: 'decode' (default) decodes it whole and keeps what fits in `cacheBytes`;
   * 'header' looks at its beginning only, so that a file cut short later on is found when it is loaded.
   */
  readonly verify?: 'decode' | 'header';
  /** Decoded images kept in memory, in bytes; default 256 MiB. The others are decoded at every load. */
  readonly cacheBytes?: number;
  /** The share of images that may be unusable; by default a tenth, or up to 5 that are no more than half. */
  readonly maxBad?: number | null;
  /** Values of images of more than 8 bits that become black and white; by default 0 and 65535 of 16-bit ones. */
  readonly range?: readonly [black: number, white: number] | null;
  readonly onProgress?: (done: number, total: number) => void;
}

export const imageFileOptions: Kinds<ImageFileOptions> = {
  side: 'number',
  square: 'object',
  verify: 'string',
  cacheBytes: 'number',
  maxBad: 'any',
  range: 'any',
  onProgress: 'function',
};

/** @throws ConfigError, in the name of what is opened, where an option is out of range */
export function checkImageFiles(where: string, { side = leastSide, verify, cacheBytes = 0 }: ImageFileOptions): void {
  if (!(Number.isInteger(side) && side >= 1))
    throw new ConfigError(`${where}: expected side to be a whole number of at least 1, got ${side}`);
  if (verify !== undefined) expectOneOf(`${where}: verify`, verify, ['decode', 'header']);
  if (!(cacheBytes >= 0)) throw new ConfigError(`${where}: expected cacheBytes of at least 0, got ${cacheBytes}`);
}

/** What is known of a file that was checked. */
interface Checked {
  /** Why it cannot be used. */
  readonly reason?: string;
  /** Width and height as decoded to be trained on. */
  readonly size?: readonly [width: number, height: number];
  /** Where it is an image of a format that is not decoded here. */
  readonly format?: string;
  /** Of its content (`contentDigest`), where all of it was read. */
  readonly digest?: string;
}

const leastSide = 256;

/** The `side` that leaves an encoder of such images all that it can see: more than it needs where they are small. */
export const sideFor = (imageSize: number) => Math.max(leastSide, imageSize);

export class ImageFiles {
  readonly #folder: string;
  readonly #images: readonly FoundImage[];
  readonly #options: ImageFileOptions;
  readonly #checked = new Map<number, Checked>();
  readonly #kept = new Map<string, RgbaImage>();
  #room: number;

  private constructor(folder: string, images: readonly FoundImage[], options: ImageFileOptions) {
    this.#folder = folder;
    this.#images = images;
    this.#options = options;
    this.#room = options.cacheBytes ?? 2 ** 28;
  }

  /**
   * Checks those of `images` that `items` names.
   *
   * @throws DataError where too many cannot be used
   */
  static async open(
    folder: string,
    images: readonly FoundImage[],
    items: readonly number[],
    options: ImageFileOptions = {},
  ): Promise<ImageFiles> {
    const { maxBad } = options;
    if (maxBad !== undefined && maxBad !== null && !(maxBad >= 0 && maxBad <= 1))
      throw new ConfigError(`image folder ${folder}: expected maxBad to be a share from 0 to 1, got ${maxBad}`);
    const files = new ImageFiles(folder, images, options);
    const found = await inParallel(items, options.onProgress, (item) => files.#check(item));
    for (const [i, item] of items.entries()) files.#checked.set(item, found[i]);
    files.#refuseTooMany(items.length);
    return files;
  }

  /** Path of an image below the folder. */
  path(item: number): string {
    return this.#images[item].parts.join('/');
  }

  isGood(item: number): boolean {
    return this.#checked.get(item)?.reason === undefined;
  }

  digest(item: number): string | undefined {
    return this.#checked.get(item)?.digest;
  }

  /** Images that cannot be decoded, and why. */
  get skipped(): Skipped[] {
    return [...this.#checked].flatMap(([item, { reason, format }]) =>
      reason === undefined || format !== undefined ? [] : [{ file: this.path(item), reason }],
    );
  }

  /** Images that turned out to be of a format that is not read here. */
  get unread(): LeftOut[] {
    return [...this.#checked].flatMap(([item, { reason, format }]) =>
      reason === undefined || format === undefined
        ? []
        : [{ path: this.path(item), reason, kind: 'format', images: 1 } as const],
    );
  }

  /** The good ones of these images as a source. `labels` are theirs, one by one. */
  source(
    name: string,
    items: readonly number[],
    labels?: Int32Array,
    classes?: readonly string[],
  ): ImageSource<RgbaImage> & { readonly files: readonly string[] } {
    const isGood = items.map((item) => this.isGood(item));
    const good = items.filter((_, i) => isGood[i]);
    const { side = leastSide } = this.#options;
    const files = good.map((item) => this.path(item));
    const digests = good.map((item) => this.digest(item));
    const sizes = good.map((item) => this.#checked.get(item)?.size);
    const source: ReturnType<ImageFiles['source']> = {
      name,
      length: good.length,
      images: 1,
      bound: { side: 2 * side, pixels: 2 * side * side },
      ...(sizes.every((size) => size !== undefined) && { sizes: Uint32Array.from(sizes.flat()) }),
      files,
      names: files,
      ...(digests.every((digest) => digest !== undefined) && {
        digests: Uint32Array.from(digests, (digest) => Number.parseInt((digest as string).slice(0, 8), 16)),
      }),
      ...(labels && { labels: labels.filter((_, i) => isGood[i]), classes: classes ?? [] }),
      load: async (item, image) => {
        checkItem(source, item, image);
        return this.#load(good[item]);
      },
      square: async (item, image, size, options) => {
        checkItem(source, item, image);
        return this.#load(good[item], { ...options, size });
      },
    };
    return source;
  }

  async #check(item: number): Promise<Checked> {
    const { file } = this.#images[item];
    let digest: string | undefined;
    try {
      if (this.#options.verify === 'header') {
        await probe(file);
        return {};
      }
      const bytes = await readBytes(file);
      digest = contentDigest(bytes);
      const { width, height } = await this.#decode(item, bytes, this.#options.square);
      return { digest, ...(!this.#options.square && { size: [width, height] }) };
    } catch (error) {
      if (error instanceof ConfigError) throw error;
      const known = digest !== undefined && { digest };
      return error instanceof UnreadFormat
        ? { reason: error.message, format: error.format, ...known }
        : { reason: reasonOf(error), ...known };
    }
  }

  /** The image as it is trained on, or a square for evaluation. */
  async #load(item: number, square?: ImageFileOptions['square']): Promise<RgbaImage> {
    const kept = this.#kept.get(keyOf(item, square));
    if (kept) return kept;
    const { file } = this.#images[item];
    try {
      return await this.#decode(item, await readBytes(file), square);
    } catch (cause) {
      if (cause instanceof ConfigError) throw cause;
      throw new DataError(`${this.#folder}/${this.path(item)}: ${reasonOf(cause)}; remove it and begin again`, {
        cause,
      });
    }
  }

  async #decode(item: number, bytes: Uint8Array, square: ImageFileOptions['square']): Promise<RgbaImage> {
    const { side = leastSide, range } = this.#options;
    const options = range ? { range } : {};
    const image = await (square === undefined
      ? decode(bytes, side, options)
      : decodeSquare(bytes, square.size, { ...square, ...options }));
    const key = keyOf(item, square);
    if (image.pixels.length <= this.#room && !this.#kept.has(key)) {
      this.#room -= image.pixels.length;
      this.#kept.set(key, image);
    }
    return image;
  }

  #refuseTooMany(checked: number): void {
    const { skipped } = this;
    const bad = skipped.length;
    const total = checked - this.unread.length;
    if (total === 0)
      throw new DataError(
        `image folder ${this.#folder}: none of its ${checked} images is of a format that is read here: ` +
          some(this.unread.map(({ path, reason }) => ({ file: path, reason }))),
      );
    const { maxBad } = this.#options;
    const isBearable =
      maxBad === undefined || maxBad === null
        ? bad * 2 <= total && (bad <= 5 || bad * 10 <= total)
        : bad <= maxBad * total;
    if (isBearable && bad < total) return;
    const remedy = bad < total ? 'repair or remove them, or allow more by --max-bad' : 'repair them';
    throw new DataError(
      `image folder ${this.#folder}: ${bad} of ${total} images cannot be used: ${some(skipped)}; ${remedy}`,
    );
  }
}

/** The first of many, and how many more. */
export function some(skipped: readonly Skipped[]): string {
  const shown = skipped.slice(0, 5).map(({ file, reason }) => `${file} (${reason})`);
  return shown.join(', ') + (skipped.length > shown.length ? `, and ${skipped.length - shown.length} more` : '');
}

const keyOf = (item: number, square: ImageFileOptions['square']) =>
  square ? `${item} ${square.size} ${square.resize ?? square.size} ${square.interpolation ?? 'bicubic'}` : `${item}`;

/** The first line: decoders add the rest of what they tried. */
function reasonOf(error: unknown): string {
  return (error as Error).message.split('\n', 1)[0];
}

/** Runs `work` on all items, as many at once as there are cores and one more. Results are in the items' order. */
async function inParallel<T, R>(
  items: readonly T[],
  onProgress: ((done: number, total: number) => void) | undefined,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  let done = 0;
  const worker = async () => {
    while (next < items.length) {
      const item = next++;
      results[item] = await work(items[item]);
      onProgress?.(++done, items.length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(items.length, availableParallelism() + 1) }, worker));
  return results;
}
