// A folder of images as a source, without parts.
import { expectOptions, type Kinds } from '../../checks/options.js';
import type { ImageSource, RgbaImage } from '../../data/source.js';
import { DataError } from '../../errors.js';
import { checkImageFiles, type ImageFileOptions, ImageFiles, imageFileOptions, some } from './image_files.js';
import { layoutOf, type Part, type Unused } from './layout.js';
import { count, type Skipped } from './left_out.js';
import { type FoundImage, type LeftOut, leftOutText, scanFolder } from './scan.js';
import { loadSharp } from './sharp.js';

export interface ImageFolderOptions extends ImageFileOptions {
  /**
   * Whether sub-folders are labels. By default they are, and a folder with parts (train, test) is refused; true takes all sub-folders as labels,
   * whatever the files are called; false gives all images together, unlabeled.
   */
  readonly labels?: boolean;
}

const folderOptions: Kinds<ImageFolderOptions> = { ...imageFileOptions, labels: 'boolean' };

/** The usable images of a folder. */
export interface ImageFolder extends ImageSource<RgbaImage> {
  /** Path of every item within the folder, in order. */
  readonly files: readonly string[];
  /** Images that cannot be decoded, and why. They are no items. */
  readonly skipped: readonly Skipped[];
  /** What else is left out: folders of systems, files that are no images, formats that are not read. */
  readonly leftOut: readonly LeftOut[];
  /** What is left out, as one line; '' where nothing is. */
  readonly leftOutText: string;
}

/**
 * Opens a folder of images: PNG, JPEG, WebP, GIF, TIFF and AVIF, recognized by their content. The label of an image is the sub-folder that it
 * lies in, at any depth (docs/data.md); where there are none, and where `labels` is false, images are unlabeled. Links are followed. Items
 * are sorted by path and labels by name.
 *
 * What cannot be used is left out and listed. Throws a DataError for a folder that is missing, has no images, holds parts to train on and to
 * test with (`openDataset` opens both), or too many bad images: more than half, or more than 5 that are over a tenth.
 */
export async function openImageFolder(folder: string, options: ImageFolderOptions = {}): Promise<ImageFolder> {
  checkImageFiles('openImageFolder', expectOptions('openImageFolder', options, folderOptions));
  const { images, leftOut } = await scanImages(folder);
  const { part, classes, unused } = partOf(folder, images, options.labels);
  const files = await ImageFiles.open(folder, images, part.items, options);
  return {
    ...files.source(folder, part.items, part.labels, classes),
    skipped: files.skipped,
    leftOut: [...leftOut, ...files.unread],
    leftOutText: leftOutLine(leftOut, files, unused),
  };
}

/** The images of a folder and what is left out of it, once there is a decoder for them. */
export async function scanImages(
  folder: string,
): Promise<{ images: readonly FoundImage[]; leftOut: readonly LeftOut[] }> {
  const scan = await scanFolder(folder);
  if (scan.images.length === 0) {
    const text = leftOutText(scan.leftOut);
    throw new DataError(
      `image folder ${folder}: expected PNG, JPEG, WebP, GIF, TIFF or AVIF files in it or its sub-folders, found none` +
        `${text && `; left out: ${text}`}`,
    );
  }
  await loadSharp(`image folder ${folder}: decoding`);
  return scan;
}

function partOf(
  folder: string,
  images: readonly FoundImage[],
  labels: boolean | undefined,
): { part: Part; classes?: readonly string[]; unused: readonly Unused[] } {
  if (labels === false) return { part: { name: '', items: images.map((_, i) => i) }, unused: [] };
  const layout = layoutOf(images, { name: folder, ...(labels && { trainDir: '.' }) });
  const [own, other] = layout.parts;
  if (other !== undefined)
    throw new DataError(
      `image folder ${folder}: has parts, '${own}' and '${other}': open ${folder}/${own}, or both by openDataset(); ` +
        'labels: false takes all images together',
    );
  const { train, classes, unused } = layout;
  return { part: train, ...(classes && { classes }), unused };
}

/** What was left out of a folder, in a line; '' where nothing was. */
export function leftOutLine(leftOut: readonly LeftOut[], files: ImageFiles, unused: readonly Unused[]): string {
  const { skipped, unread } = files;
  const groups = [
    ...unused.map(({ name, images, why }) => `${count(images)} in ${name} (${why})`),
    leftOutText([...leftOut, ...unread]),
    skipped.length > 0 && `${count(skipped.length)} that cannot be decoded: ${some(skipped)}`,
  ];
  return groups.filter(Boolean).join(', ');
}
