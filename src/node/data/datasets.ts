import { basename, join } from 'node:path';
import { CIFAR10_CLASSES, openCifar } from '../../data/cifar.js';
import { openIdx } from '../../data/idx.js';
import { eachPicture, holdOut, type ImageSource, reduced } from '../../data/source.js';
import { ConfigError, DataError } from '../../errors.js';
import { isFolder, listFolder, readBytes } from '../files.js';
import { EMOJI_ATTRIBUTION, openEmoji } from './emoji.js';
import { type ImageFolder, type ImageFolderOptions, openImageFolder, sideFor } from './image_folder.js';

/** Images to learn from, and others, never trained on, to test with where there are labels or twins to test by. */
export interface Dataset {
  readonly name: string;
  readonly train: ImageSource;
  readonly test?: ImageSource;
  /** What the user should be told: what was skipped, how it was split, whose pictures these are. */
  readonly notes: readonly string[];
}

export interface DatasetOptions extends ImageFolderOptions {
  /** Emoji: 'paired' gives the two drawings of an emoji as the two views, 'augmented' every drawing as an item. */
  readonly protocol?: 'paired' | 'augmented';
  /**
   * Side of the squares that the encoder sees. Drawings of emoji come no larger than need be, their own 64 unless told; images
   * of a folder are reduced to no less.
   */
  readonly imageSize?: number;
  /** Draws the split of data that come without one. */
  readonly seed?: number;
  /** Share of the items held out of such data; 0.2 unless told, 0 for none. */
  readonly heldOut?: number;
}

const FASHION_FOLDER = '/usr/share/datasets/fashion-mnist';
const FASHION_INSTALL = "on Debian and Ubuntu 'apt install dataset-fashion-mnist', or name a folder: fashion-mnist:DIR";
const FASHION_CLASSES = 'T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot'.split(',');
const KNOWN = 'emoji, fashion-mnist, fashion-mnist:DIR, idx:DIR, cifar10:DIR, cifar100:DIR, or a folder of images';

/**
 * Opens what `--data` names: 'emoji', 'fashion-mnist' (Debian's copy) or 'fashion-mnist:DIR', 'idx:DIR' (the four files
 * of MNIST, plain or .gz), 'cifar10:DIR' and 'cifar100:DIR' (binary version), or a folder of images.
 * A folder that holds 'train', and beside it nothing but 'test', 'val' or 'valid', is taken as split; other labelled folders
 * and the emoji are split by `seed`. A ConfigError tells of a name that is none of these, a DataError of data that cannot be used.
 */
export async function openDataset(data: string, options: DatasetOptions = {}): Promise<Dataset> {
  const [, kind, folder] = /^(emoji|fashion-mnist|idx|cifar10|cifar100)(?::(.*))?$/s.exec(data) ?? [];
  if (kind !== 'emoji' && options.protocol === 'paired') {
    throw new ConfigError(
      `data: the protocol 'paired' needs twins, which emoji alone has, got '${data}'; use 'augmented'`,
    );
  }
  if (folder === '' || (kind === 'emoji' && folder !== undefined)) {
    throw new ConfigError(`data: expected ${KNOWN}; got '${data}'`);
  }
  if (kind === 'emoji') return openSplitEmoji(options);
  if (kind === 'fashion-mnist') return openFashion(folder);
  if (kind === undefined) return openFolder(data, options);
  if (folder === undefined) throw new ConfigError(`data: ${kind} is read from a folder: expected ${kind}:DIR`);
  return kind === 'idx' ? openIdxFolder(folder, folder) : openCifarFolder(kind as 'cifar10' | 'cifar100', folder);
}

async function openSplitEmoji(options: DatasetOptions): Promise<Dataset> {
  const { protocol = 'paired', seed = 0, heldOut = 0.2, imageSize } = options;
  const drawn = await openEmoji();
  const emoji = imageSize === undefined ? drawn : reduced(drawn, imageSize);
  const { train, test } = splitOff(emoji, heldOut, seed);
  return {
    name: `emoji (${protocol})`,
    train: protocol === 'paired' ? train : eachPicture(train),
    ...(test && { test }),
    notes: [
      `${emoji.length} emoji in two styles; ${test?.length ?? 0} of them held out by seed ${seed}`,
      EMOJI_ATTRIBUTION,
    ],
  };
}

async function openFashion(folder: string | undefined): Promise<Dataset> {
  if (folder === undefined && !(await isFolder(FASHION_FOLDER))) {
    throw new DataError(`fashion-mnist: not found in ${FASHION_FOLDER}: ${FASHION_INSTALL}`);
  }
  return openIdxFolder(folder ?? FASHION_FOLDER, 'fashion-mnist', FASHION_CLASSES);
}

async function openIdxFolder(folder: string, name: string, classes?: readonly string[]): Promise<Dataset> {
  const names = await listFolder(folder);
  const read = (stem: string) => {
    const file = [`${stem}.gz`, stem].find((candidate) => names.includes(candidate));
    if (!file) throw new DataError(`${name}: expected ${stem}.gz or ${stem} in ${folder}, found neither`);
    return readBytes(join(folder, file));
  };
  const open = async (part: 'train' | 't10k') =>
    openIdx({
      name: `${name} ${part}`,
      images: await read(`${part}-images-idx3-ubyte`),
      labels: await read(`${part}-labels-idx1-ubyte`),
      ...(classes && { classes }),
    });
  return { name, train: await open('train'), test: await open('t10k'), notes: [] };
}

const CIFAR_FILES = {
  cifar10: {
    inner: 'cifar-10-batches-bin',
    train: [1, 2, 3, 4, 5].map((batch) => `data_batch_${batch}.bin`),
    test: ['test_batch.bin'],
  },
  cifar100: { inner: 'cifar-100-binary', train: ['train.bin'], test: ['test.bin'] },
} as const;

async function openCifarFolder(variant: 'cifar10' | 'cifar100', folder: string): Promise<Dataset> {
  const { inner, train, test } = CIFAR_FILES[variant];
  const names = await listFolder(folder);
  const home = names.includes(inner) ? join(folder, inner) : folder;
  const present = await listFolder(home);
  const missing = [...train, ...test].filter((file) => !present.includes(file));
  if (missing.length > 0) {
    throw new DataError(`${variant}: expected the binary version in ${home}; it has no ${missing.join(', ')}`);
  }
  const classes = variant === 'cifar10' ? CIFAR10_CLASSES : await fineNames(home, present);
  const open = async (files: readonly string[]) => {
    const read = files.map(async (file) => ({ name: join(home, file), bytes: await readBytes(join(home, file)) }));
    return openCifar(variant, variant, await Promise.all(read), classes);
  };
  return { name: variant, train: await open(train), test: await open(test), notes: [] };
}

/** CIFAR-100 names its classes in a file of its own; without it they stay numbers. */
async function fineNames(home: string, present: readonly string[]): Promise<string[] | undefined> {
  if (!present.includes('fine_label_names.txt')) return undefined;
  const text = new TextDecoder().decode(await readBytes(join(home, 'fine_label_names.txt')));
  return text.split(/\r?\n/).filter((line) => line !== '');
}

async function openFolder(folder: string, options: DatasetOptions): Promise<Dataset> {
  if (!(await isFolder(folder))) {
    throw new DataError(`data: there is no folder ${folder}; expected ${KNOWN}`);
  }
  const { seed = 0, heldOut = 0.2, imageSize = 0 } = options;
  const open = (path: string) => openImageFolder(path, { side: sideFor(imageSize), ...options });
  const split = await givenSplit(folder);
  if (split?.test !== undefined) {
    const [train, test] = [await open(split.train), await open(split.test)];
    checkClasses(folder, train, test);
    const unused = split.unused.map(
      (part) => `${folder}: '${part}' is not used, for '${basename(split.test as string)}' is there`,
    );
    return { name: folder, train, test, notes: [...unused, ...skippedNotes(train), ...skippedNotes(test)] };
  }
  const all = await open(split?.train ?? folder);
  const notes = skippedNotes(all);
  if (!all.labels || heldOut === 0) return { name: folder, train: all, notes };
  const { train, test } = splitOff(all, heldOut, seed);
  notes.push(`${folder}: ${test?.length ?? 0} of ${all.length} images held out by seed ${seed}`);
  return { name: folder, train, ...(test && { test }), notes };
}

function splitOff(source: ImageSource, fraction: number, seed: number): { train: ImageSource; test?: ImageSource } {
  return fraction === 0 ? { train: source } : holdOut(source, fraction, seed);
}

/** Parts to test with, the best first. */
const testParts = ['test', 'val', 'valid'];

/** The parts of a folder that has no folders but 'train' and perhaps some to test with. */
async function givenSplit(
  folder: string,
): Promise<{ train: string; test?: string; unused: readonly string[] } | undefined> {
  const folders: string[] = [];
  for (const name of await listFolder(folder)) {
    if (!name.startsWith('.') && (await isFolder(join(folder, name)))) folders.push(name);
  }
  if (!folders.includes('train') || !folders.every((name) => name === 'train' || testParts.includes(name)))
    return undefined;
  const [test, ...unused] = testParts.filter((part) => folders.includes(part));
  return { train: join(folder, 'train'), ...(test !== undefined && { test: join(folder, test) }), unused };
}

function checkClasses(folder: string, train: ImageSource, test: ImageSource): void {
  const [ours, theirs] = [train.classes ?? [], test.classes ?? []];
  const differing = [
    ...ours.filter((name) => !theirs.includes(name)),
    ...theirs.filter((name) => !ours.includes(name)),
  ];
  if (differing.length > 0) {
    throw new DataError(
      `${folder}: 'train' and the test part differ in their labels: ${differing.slice(0, 10).join(', ')}`,
    );
  }
}

function skippedNotes({ name, skipped, length }: ImageFolder): string[] {
  if (skipped.length === 0) return [];
  const shown = skipped.slice(0, 5).map(({ file, reason }) => `${file} (${reason})`);
  const rest = skipped.length > shown.length ? `, and ${skipped.length - shown.length} more` : '';
  return [
    `${basename(name)}: skipped ${skipped.length} of ${length + skipped.length} images: ${shown.join(', ')}${rest}`,
  ];
}
