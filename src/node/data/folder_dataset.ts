// A folder of images as a data set: its parts, its classes, what was held out, what was left out.
import { isAbsolute, relative } from 'node:path';
import { subset } from '../../data/derived.js';
import type { ImageSource } from '../../data/source.js';
import { heldOut } from '../../data/split.js';
import { DataError } from '../../errors.js';
import type { Dataset, DatasetOptions } from './dataset.js';
import { ImageFiles, sideFor } from './image_files.js';
import { leftOutLine, scanImages } from './image_folder.js';
import { type Layout, type LayoutOptions, layoutOf, type Part } from './layout.js';
import { count } from './left_out.js';
import { changedDataError, type DataRecord, differenceOf, differenceText, type FileRecord, isSame } from './record.js';
import type { FoundImage } from './scan.js';

/** A folder of images as data to train on and to test with, by the rule of docs/data.md. */
export async function openFolder(folder: string, options: DatasetOptions): Promise<Dataset> {
  const { seed = 0, holdOut = 0.2, imageSize = 0, known } = options;
  const { images, leftOut } = await scanImages(folder);
  const layout = layoutOf(images, layoutOptions(folder, options));
  refuseLoose(folder, layout);
  const parts = [layout.train, ...(layout.test ? [layout.test] : [])];
  const used = parts.flatMap(({ items }) => items);
  if (known) refuseChanges(folder, known, images, used);

  const files = await ImageFiles.open(folder, images, used, { side: sideFor(imageSize), ...options });
  const sourceOf = (part: Part) => files.source(folder, part.items, part.labels, layout.classes);
  const all = sourceOf(layout.train);
  if (all.length === 0) throw new DataError(`${folder}: no image to train on can be used`);
  const own = layout.test && sourceOf(layout.test);
  const given = own && own.length > 0 ? own : undefined;
  const isSplit = !given && all.labels !== undefined && holdOut > 0;
  const { train, held, copies = 0 } = isSplit ? splitOff(all, holdOut, seed) : { train: all };

  const facts = [
    held || given || layout.classes ? `train ${count(train.length)}` : `${count(train.length)} images without labels`,
    layout.classes && ` in ${layout.classes.length} classes`,
    given && `, ${kindOf((layout.test as Part).name)} ${count(given.length)}${given.labels ? '' : ' without labels'}`,
    held && `, held out ${count(held.length)} by seed ${seed}`,
  ];
  const left = leftOutLine(leftOut, files, layout.unused);
  const notes = [
    `${facts.filter(Boolean).join('')}${left && `; left out: ${left}`}`,
    copies > 0 && `${count(copies)} held-out images are byte for byte images to train on, and are not tested with`,
    isSplit && !held && `none of the images is held out by seed ${seed}; give more images, or a larger --hold-out`,
    ...(given ? aboutTest(train, given) : []),
  ];
  const test = given ?? held;
  const record = {
    name: folder,
    files: recordOf(images, parts, files, train),
    leftOut: [
      ...[...leftOut, ...files.unread].map(({ path, reason }) => ({ file: path, reason })),
      ...layout.unused.map(({ name, images: n, why }) => ({ file: name, reason: `${n} images ${why}` })),
      ...files.skipped,
    ],
  };
  const sentences = notes.filter((note) => typeof note === 'string').map((note) => `${folder}: ${note}`);
  return { name: folder, train, ...(test && { test, isDrawn: !given }), notes: sentences, record };
}

function layoutOptions(folder: string, { labels, trainDir, testDir }: DatasetOptions): LayoutOptions {
  return {
    name: folder,
    ...(labels === false && { labels }),
    ...(trainDir != null && { trainDir: within(folder, trainDir) }),
    ...(testDir != null && { testDir: within(folder, testDir) }),
  };
}

/** A folder that an option names, below the folder of the data or by a path that leads there, as a path below it. */
function within(folder: string, dir: string): string {
  const below = relative(folder, dir);
  const isInside = !below.startsWith('..') && !isAbsolute(below);
  return isInside || isAbsolute(dir) ? below || '.' : dir;
}

/** Labels that leave most of the images out are no labels. */
function refuseLoose(folder: string, { train, loose, classes = [] }: Layout): void {
  if (loose <= train.items.length) return;
  throw new DataError(
    `${folder}: ${loose} images lie next to the sub-folders that would be their classes (${classes.slice(0, 5).join(', ')}), which hold ` +
      `${train.items.length}: give --no-labels to train on all of them, or move them into sub-folders`,
  );
}

/** Names and sizes show most changes before anything is decoded. */
function refuseChanges(
  folder: string,
  known: DataRecord,
  images: readonly FoundImage[],
  used: readonly number[],
): void {
  const now = used.map((item) => ({ path: images[item].parts.join('/'), bytes: images[item].bytes }));
  const difference = differenceOf(known.files, now);
  if (!isSame(difference)) throw changedDataError(folder, differenceText(difference));
}

/** What every image is used for. */
function recordOf(
  images: readonly FoundImage[],
  parts: readonly Part[],
  files: ImageFiles,
  train: ImageSource,
): FileRecord[] {
  const trained = new Set(train.names);
  return parts.flatMap(({ items }, part) =>
    items.map((item) => {
      const [path, digest] = [files.path(item), files.digest(item)];
      const isTrained = part === 0 && trained.has(path);
      const use = files.isGood(item) ? (isTrained ? 'train' : 'test') : 'skipped';
      return { path, bytes: images[item].bytes, ...(digest && { digest }), use };
    }),
  );
}

/** Holds items out, but those that are copies of others that are not. */
function splitOff(
  all: ImageSource,
  fraction: number,
  seed: number,
): { train: ImageSource; held?: ImageSource; copies?: number } {
  const isHeld = heldOut(all, fraction, seed);
  const items = isHeld.map((_, item) => item);
  const kept = items.filter((item) => !isHeld[item]);
  if (kept.length === 0)
    throw new DataError(
      `${all.name}: all of its ${all.length} images are held out by seed ${seed}; give a smaller --hold-out, or more images`,
    );
  const { digests } = all;
  const known = new Set(digests && kept.map((item) => digests[item]));
  const held = items.filter((item) => isHeld[item]);
  const tested = held.filter((item) => !(digests && known.has(digests[item])));
  return {
    train: subset(all, kept, `${all.name} (train)`),
    ...(tested.length > 0 && { held: subset(all, tested, `${all.name} (held out)`) }),
    copies: held.length - tested.length,
  };
}

/** What should be known of a part that came with the data. */
function aboutTest(train: ImageSource, test: ImageSource): string[] {
  const { classes = [], labels } = test;
  const trained = new Set(train.labels);
  const unseen = [...new Set(labels)].filter((label) => !trained.has(label)).map((label) => classes[label]);
  const known = new Set(train.digests);
  const copies = test.digests?.reduce((sum, digest) => sum + Number(known.has(digest)), 0) ?? 0;
  const some = unseen.slice(0, 5).join(', ') + (unseen.length > 5 ? ', ...' : '');
  return [
    ...(unseen.length > 0 ? [`${unseen.length} classes are tested and never trained on: ${some}`] : []),
    ...(copies > 0 ? [`${count(copies)} images to test with are byte for byte images to train on`] : []),
  ];
}

const kindOf = (part: string) => (/(^|[^a-z])(val|dev)/i.test(part) ? 'validation' : 'test');
