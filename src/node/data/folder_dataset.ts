import { type ImageSource, subset } from '../../data/source.js';
import { heldOut } from '../../data/split.js';
import { DataError } from '../../errors.js';
import type { Dataset, DatasetOptions } from './datasets.js';
import { ImageFiles, type Skipped, sideFor } from './image_files.js';
import { leftOutLine, scanImages } from './image_folder.js';
import { type Layout, layoutOf, type Part } from './layout.js';
import { changedDataError, differenceOf, differenceText, type FileRecord, isSame } from './record.js';

/** A folder of images as data to train on and to test with, by the rule of docs/data.md. */
export async function openFolder(folder: string, options: DatasetOptions): Promise<Dataset> {
  const { seed = 0, holdOut = 0.2, imageSize = 0, labels, trainDir, testDir, known } = options;
  const { images, leftOut } = await scanImages(folder);
  const layout = layoutOf(images, {
    name: folder,
    ...(labels === false && { labels }),
    ...(trainDir != null && { trainDir: within(folder, trainDir) }),
    ...(testDir != null && { testDir: within(folder, testDir) }),
  });
  refuseLoose(folder, layout);
  const parts = [layout.train, ...(layout.test ? [layout.test] : [])];
  const used = parts.flatMap(({ items }) => items);
  const pathOf = (item: number) => images[item].parts.join('/');
  if (known) {
    const found = used.map((item) => ({ path: pathOf(item), bytes: images[item].bytes }));
    const difference = differenceOf(known.files, found);
    if (!isSame(difference)) throw changedDataError(folder, differenceText(difference));
  }

  const files = await ImageFiles.open(folder, images, used, { side: sideFor(imageSize), ...options });
  const sourceOf = (part: Part) => files.source(folder, part.items, part.labels, layout.classes);
  const all = sourceOf(layout.train);
  if (all.length === 0) throw new DataError(`${folder}: no image to train on can be used`);
  const given = layout.test && sourceOf(layout.test);
  const split = given || !all.labels || holdOut === 0 ? { train: all } : splitOff(all, holdOut, seed);
  const { train, copies = 0 } = split;
  const test = given ?? split.test;

  const text = (part: ImageSource) => part.length.toLocaleString('en-US');
  const classes = layout.classes ? ` in ${layout.classes.length} classes` : '';
  const facts = [
    given || split.test || classes ? `train ${text(train)}${classes}` : `${text(train)} images without labels`,
    given && `${kindOf((layout.test as Part).name)} ${text(given)}${given.labels ? '' : ' without labels'}`,
    split.test && `held out ${text(split.test)} by seed ${seed}`,
  ].filter(Boolean);
  const left = leftOutLine(leftOut, files, layout.unused);
  const notes = [`${folder}: ${facts.join(', ')}${left && `; left out: ${left}`}`];
  if (copies > 0)
    notes.push(`${folder}: ${copies} held-out images are byte for byte images to train on, and are not tested with`);
  if (!given && all.labels && holdOut > 0 && !split.test)
    notes.push(
      `${folder}: none of its ${all.length} images is held out by seed ${seed}; give more images, or a larger --hold-out`,
    );
  if (given) notes.push(...aboutTest(folder, train, given));

  const trained = new Set(train.names);
  const uses = (item: number, isTrain: boolean): FileRecord['use'] =>
    !files.isGood(item) ? 'skipped' : isTrain && trained.has(pathOf(item)) ? 'train' : 'test';
  const record = parts.flatMap(({ items }, part) =>
    items.map((item): FileRecord => {
      const digest = files.digest(item);
      return { path: pathOf(item), bytes: images[item].bytes, ...(digest && { digest }), use: uses(item, part === 0) };
    }),
  );
  const out: Skipped[] = [
    ...leftOut.map(({ path, reason }) => ({ file: path, reason })),
    ...layout.unused.map(({ name, images: count, why }) => ({ file: name, reason: `${count} images ${why}` })),
    ...files.unread.map(({ path, reason }) => ({ file: path, reason })),
    ...files.skipped,
  ];
  return {
    name: folder,
    train,
    ...(test && { test, isDrawn: !given }),
    notes,
    record: { name: folder, files: record, leftOut: out },
  };
}

/** A folder that an option names, as a path below the folder of the data. */
function within(folder: string, dir: string): string {
  const [above, below] = [folder, dir].map((path) => path.replace(/[/\\]+$/, ''));
  return below === above ? '.' : below.startsWith(`${above}/`) ? below.slice(above.length + 1) : dir;
}

/** Labels that leave most of the images out are no labels. */
function refuseLoose(folder: string, { train, unused, classes }: Layout): void {
  const loose = unused.find(
    ({ name, why }) => (name === 'loose images' || name === train.name) && why.startsWith('beside'),
  );
  if (!loose || loose.images <= train.items.length) return;
  throw new DataError(
    `${folder}: ${loose.images} images lie beside the sub-folders that would be their classes (${classes?.slice(0, 5).join(', ')}), which hold ` +
      `${train.items.length}: give --no-labels to train on all of them, or move them into sub-folders`,
  );
}

/** Holds items out, but those that are copies of others that are not. */
function splitOff(
  all: ImageSource,
  fraction: number,
  seed: number,
): { train: ImageSource; test?: ImageSource; copies?: number } {
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
    ...(tested.length > 0 && { test: subset(all, tested, `${all.name} (held out)`) }),
    copies: held.length - tested.length,
  };
}

/** What should be known of a part that came with the data. */
function aboutTest(folder: string, train: ImageSource, test: ImageSource): string[] {
  const notes: string[] = [];
  const { classes = [] } = test;
  const trained = new Set(train.labels);
  const unseen = [...new Set(test.labels)].filter((label) => !trained.has(label)).map((label) => classes[label]);
  if (unseen.length > 0)
    notes.push(
      `${folder}: ${unseen.length} classes are tested and never trained on: ${unseen.slice(0, 5).join(', ')}${unseen.length > 5 ? ', ...' : ''}`,
    );
  const known = new Set(train.digests);
  const copies = test.digests?.reduce((count, digest) => count + Number(known.has(digest)), 0) ?? 0;
  if (copies > 0) notes.push(`${folder}: ${copies} images to test with are byte for byte images to train on`);
  return notes;
}

const kindOf = (part: string) => (/^\W*(val|dev)/i.test(part) ? 'validation' : 'test');
