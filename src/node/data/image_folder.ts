import { realpath, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { extname, join } from 'node:path';
import { checkItem, type ImageSource, type Picture } from '../../data/source.js';
import { DataError } from '../../errors.js';
import { isMissing, listFolder, readBytes } from '../files.js';
import { loadSharp, MID_GREY } from './sharp.js';

const EXTENSIONS = new Set(['.png', '.jpg', '.jpeg', '.webp']);
const FORMATS = new Set(['png', 'jpeg', 'webp']);
const misplaced = 'lies beside the sub-folders that are the labels';
const leastSide = 256;

/** The `side` that leaves an encoder of such pictures all that it can see: more than it needs where they are small. */
export const sideFor = (imageSize: number) => Math.max(leastSide, imageSize);

export interface ImageFolderOptions {
  /**
   * Larger pictures are reduced while decoding until their shorter side has so many pixels, or the longer twice as many: 256
   * unless told.
   */
  readonly side?: number;
  /** Whether sub-folders are labels; false gives all images together, unlabelled. */
  readonly labels?: boolean;
  /**
   * How every file is checked on opening: 'decode' (unless told) decodes it whole and keeps what fits in `cacheBytes`;
   * 'header' looks at its beginning only, so that a file cut short later on is found when it is loaded.
   */
  readonly verify?: 'decode' | 'header';
  /** Decoded pictures kept in memory, in bytes; 256 MiB unless told. The others are decoded at every load. */
  readonly cacheBytes?: number;
  readonly onProgress?: (done: number, total: number) => void;
}

/** The usable images of a folder. */
export interface ImageFolder extends ImageSource<Picture> {
  /** Path of every item within the folder, in order. */
  readonly files: readonly string[];
  /** Images that cannot be used, and why. They are no items. */
  readonly skipped: readonly { readonly file: string; readonly reason: string }[];
}

/**
 * Opens a folder of PNG, JPEG and WebP images. The label of an image is the sub-folder of `folder` that it lies in, at
 * any depth; images in `folder` itself, where no sub-folder has any, are unlabelled, and all are where `labels` is false.
 * Links are followed; names that begin with a dot and files of other kinds are left out. Items are sorted by path and
 * labels by name.
 *
 * Images that cannot be decoded are skipped and listed in `skipped`. A DataError tells of a folder that is missing,
 * has no images, or too many bad ones: more than half, or more than 5 that are over a tenth.
 */
export async function openImageFolder(folder: string, options: ImageFolderOptions = {}): Promise<ImageFolder> {
  const { side = leastSide, labels = true, verify = 'decode', cacheBytes = 2 ** 28, onProgress } = options;
  const found = await findImages(folder);
  if (found.length === 0) {
    throw new DataError(
      `image folder ${folder}: expected PNG, JPEG or WebP files in it or its sub-folders, found none`,
    );
  }
  await loadSharp(`image folder ${folder}: decoding`);

  const labelled = labels && found.some((path) => path.length > 1);
  const cached = new Map<string, Picture>();
  let room = cacheBytes;
  const reasons = await inParallel(found, onProgress, async (path) => {
    if (labelled && path.length === 1) return misplaced;
    const file = join(folder, ...path);
    try {
      if (verify === 'header') {
        await probe(file);
      } else {
        const picture = await decode(file, side);
        room -= picture.pixels.length;
        if (room >= 0) cached.set(join(...path), picture);
      }
      return undefined;
    } catch (error) {
      return reasonOf(error);
    }
  });
  const good = found.filter((_, i) => reasons[i] === undefined);
  const files = good.map((path) => join(...path));
  const skipped = found.flatMap((path, i) =>
    reasons[i] === undefined ? [] : [{ file: join(...path), reason: reasons[i] }],
  );
  refuseTooMany(folder, skipped, found.length);

  const classes = labelled ? [...new Set(found.filter((path) => path.length > 1).map(([label]) => label))] : [];
  const source: ImageFolder = {
    name: folder,
    length: files.length,
    pictures: 1,
    files,
    skipped,
    ...(labelled && { labels: Int32Array.from(good, ([label]) => classes.indexOf(label)), classes }),
    async load(item, picture) {
      checkItem(source, item, picture);
      const kept = cached.get(files[item]);
      if (kept) return kept;
      try {
        return await decode(join(folder, files[item]), side);
      } catch (cause) {
        throw new DataError(`${join(folder, files[item])}: ${reasonOf(cause)}; remove it and begin again`, {
          cause,
        });
      }
    },
  };
  return source;
}

/** The paths of all image files below `folder`, each as its parts, in the order of the names. */
async function findImages(
  folder: string,
  parts: readonly string[] = [],
  above: readonly string[] = [],
): Promise<string[][]> {
  const here = join(folder, ...parts);
  const names = await listFolder(here);
  const real = await realpath(here);
  // A link to a folder that it lies in would lead round in circles.
  if (above.includes(real)) return [];
  const found: string[][] = [];
  for (const name of names) {
    if (name.startsWith('.')) continue;
    const path = [...parts, name];
    // A link that leads nowhere counts by its name, so that a missing image is told.
    const isFolder = await stat(join(folder, ...path)).then(
      (entry) => entry.isDirectory(),
      () => false,
    );
    if (isFolder) for (const inner of await findImages(folder, path, [...above, real])) found.push(inner);
    else if (EXTENSIONS.has(extname(name).toLowerCase())) found.push(path);
  }
  return found;
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

async function probe(file: string): Promise<void> {
  const { size, isFile } = await stat(file).then(
    (entry) => ({ size: entry.size, isFile: entry.isFile() }),
    (cause) => {
      throw isMissing(cause) ? new DataError('the link leads nowhere') : cause;
    },
  );
  if (!isFile) throw new DataError('is neither a file nor a link to one');
  if (size === 0) throw new DataError('is empty (0 bytes)');
  const sharp = await loadSharp(file);
  checkFormat((await sharp(file).metadata()).format);
}

/** Decodes a file: upright, sRGB, on mid-grey, reduced to `side`. Throws an Error whose message is the reason. */
async function decode(file: string, side: number): Promise<Picture> {
  const bytes = await readBytes(file);
  if (bytes.length === 0) throw new DataError('is empty (0 bytes)');
  const sharp = await loadSharp(file);
  const image = sharp(bytes);
  const { format, width, height, orientation = 1 } = await image.metadata();
  checkFormat(format);
  const isTurned = orientation >= 5; // by a quarter, when it is made upright
  const box = height > width === isTurned ? { width: 2 * side, height: side } : { width: side, height: 2 * side };
  const { data, info } = await image
    .autoOrient()
    .resize({ ...box, fit: 'inside', withoutEnlargement: true })
    .flatten({ background: MID_GREY })
    .toColourspace('srgb')
    .ensureAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, pixels: new Uint8Array(data.buffer, data.byteOffset, data.length) };
}

/** The first line: decoders add the rest of what they tried. */
function reasonOf(error: unknown): string {
  return (error as Error).message.split('\n', 1)[0];
}

/** Other formats that the decoder knows stay out: some can name further files to read. */
function checkFormat(format: string): void {
  if (!FORMATS.has(format)) throw new DataError(`is ${format} inside, expected PNG, JPEG or WebP`);
}

function refuseTooMany(folder: string, skipped: ImageFolder['skipped'], total: number): void {
  const bad = skipped.length;
  if (bad * 2 <= total && (bad <= 5 || bad * 10 <= total)) return;
  const shown = skipped.slice(0, 5).map(({ file, reason }) => `${file} (${reason})`);
  const rest = bad > shown.length ? `, and ${bad - shown.length} more` : '';
  const remedy = skipped.every(({ reason }) => reason === misplaced)
    ? 'move them into a sub-folder of their own, or the sub-folders elsewhere'
    : 'repair or remove them';
  throw new DataError(
    `image folder ${folder}: ${bad} of ${total} images cannot be used: ${shown.join(', ')}${rest}; ${remedy}`,
  );
}
