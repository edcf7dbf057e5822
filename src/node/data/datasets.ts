// Opens what `--data` names: emoji, Fashion-MNIST, IDX and CIFAR files, or a folder of images.
import { join } from 'node:path';
import { expectOneOf } from '../../checks/one_of.js';
import { expectOptions } from '../../checks/options.js';
import type { TrainConfig } from '../../config/settings.js';
import { CIFAR10_CLASSES, openCifar } from '../../data/cifar.js';
import { eachImage, reduced } from '../../data/derived.js';
import type { ImageSource } from '../../data/source.js';
import { holdOut } from '../../data/split.js';
import { ConfigError, DataError } from '../../errors.js';
import { isFolder, listFolder, readBytes } from '../system/files.js';
import { type Dataset, type DatasetOptions, datasetOptions } from './dataset.js';
import { EMOJI_ATTRIBUTION, openEmoji } from './emoji.js';
import { openFolder } from './folder_dataset.js';
import { openIdxFolder } from './idx_folder.js';
import { checkImageFiles } from './image_files.js';
import { type FileRecord, RecordedFiles } from './record.js';

/** How a run, or what was trained in it, sees its data. */
export function datasetOptionsOf(config: TrainConfig): DatasetOptions {
  const { protocol, seed, labels, trainDir, testDir, holdOut, maxBad, range } = config;
  // edits sample an image once: from twice the pixels they stay sharp
  const imageSize = (config.views === 'clean-edited' ? 2 : 1) * config.imageSize;
  return { protocol, seed, imageSize, labels, trainDir, testDir, holdOut, maxBad, range };
}

const FASHION_FOLDER = '/usr/share/datasets/fashion-mnist';
const FASHION_INSTALL = "on Debian and Ubuntu 'apt install dataset-fashion-mnist', or name a folder: fashion-mnist:DIR";
const FASHION_CLASSES = 'T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot'.split(',');
const KNOWN = 'emoji, fashion-mnist, fashion-mnist:DIR, idx:DIR, cifar10:DIR, cifar100:DIR, or a folder of images';

/**
 * Opens what `--data` names: 'emoji', 'fashion-mnist' (Debian's copy) or 'fashion-mnist:DIR', 'idx:DIR' (the four files
 * of MNIST, plain or .gz), 'cifar10:DIR' and 'cifar100:DIR' (binary version), or a folder of images.
 * docs/data.md defines which sub-folders are parts and which are classes; labeled folders without a part to test with and the emoji are
 * split by `seed`, item by item. @throws ConfigError for an unknown name, DataError for unusable data
 */
export async function openDataset(data: string, options: DatasetOptions = {}): Promise<Dataset> {
  checkImageFiles('openDataset', expectOptions('openDataset', options, datasetOptions));
  const { protocol, imageSize = 1, seed = 0, holdOut: share = 0 } = options;
  if (protocol !== undefined) expectOneOf('openDataset: protocol', protocol, ['paired', 'augmented']);
  const expect = (holds: boolean, name: string, expected: string, got: number) => {
    if (!holds) throw new ConfigError(`openDataset: expected ${name} to be ${expected}, got ${got}`);
  };
  expect(Number.isInteger(imageSize) && imageSize >= 1, 'imageSize', 'a whole number of at least 1', imageSize);
  expect(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32, 'seed', 'a whole number from 0 to 4294967295', seed);
  expect(share >= 0 && share < 1, 'holdOut', 'a share from 0 up to 1', share);
  const [, kind, folder] = /^(emoji|fashion-mnist|idx|cifar10|cifar100)(?::(.*))?$/s.exec(data) ?? [];
  if (kind !== 'emoji' && options.protocol === 'paired') {
    throw new ConfigError(
      `data: the protocol 'paired' needs twins, which emoji alone has, got '${data}'; use 'augmented'`,
    );
  }
  if (folder === '' || (kind === 'emoji' && folder !== undefined)) {
    throw new ConfigError(`data: expected ${KNOWN}; got '${data}'`);
  }
  if (kind === undefined) {
    if (!(await isFolder(data))) throw new DataError(`data: there is no folder ${data}; expected ${KNOWN}`);
    return openFolder(data, options);
  }
  for (const key of ['trainDir', 'testDir'] as const)
    if (options[key] != null) throw new ConfigError(`data: ${key} is for folders of images, got ${data}`);
  const { labels = true } = options;
  const dataset = await openNamed(kind, folder, labels ? options : { ...options, holdOut: 0 });
  return labels ? dataset : withoutLabels(dataset);
}

function openNamed(kind: string, folder: string | undefined, options: DatasetOptions): Promise<Dataset> {
  if (kind === 'emoji') return openSplitEmoji(options);
  if (kind === 'fashion-mnist') return openFashion(folder);
  if (folder === undefined) throw new ConfigError(`data: ${kind} is read from a folder: expected ${kind}:DIR`);
  return kind === 'idx' ? openIdxFolder(folder, folder) : openCifarFolder(kind as 'cifar10' | 'cifar100', folder);
}

function withoutLabels({ train, test, ...rest }: Dataset): Dataset {
  const bare = ({ labels: _, classes: __, ...source }: ImageSource): ImageSource => source;
  return { ...rest, train: bare(train), ...(test && { test: bare(test) }) };
}

async function openSplitEmoji(options: DatasetOptions): Promise<Dataset> {
  const { protocol = 'paired', seed = 0, holdOut: share = 0.2, imageSize } = options;
  const drawn = await openEmoji();
  const emoji = imageSize === undefined ? drawn : reduced(drawn, imageSize);
  const { train, test } = splitOff(emoji, share, seed);
  return {
    name: `emoji (${protocol})`,
    train: protocol === 'paired' ? train : eachImage(train),
    ...(test && { test, isDrawn: true }),
    notes: [
      `${emoji.length} emoji in two styles; ${test?.length ?? 0} of them held out by seed ${seed}`,
      EMOJI_ATTRIBUTION,
    ],
    record: { name: 'emoji', files: emojiFiles(drawn.codes, train), leftOut: [] },
  };
}

/** The emoji have no files of their own: a row each, by its code. */
function emojiFiles(codes: readonly string[], train: ImageSource): FileRecord[] {
  const trained = new Set(train.names);
  return codes.map((path) => ({ path, bytes: 0, use: trained.has(path) ? 'train' : 'test' }));
}

async function openFashion(folder: string | undefined): Promise<Dataset> {
  if (folder === undefined && !(await isFolder(FASHION_FOLDER))) {
    throw new DataError(`fashion-mnist: not found in ${FASHION_FOLDER}: ${FASHION_INSTALL}`);
  }
  return openIdxFolder(folder ?? FASHION_FOLDER, 'fashion-mnist', FASHION_CLASSES);
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
  const recorded = new RecordedFiles();
  const open = async (files: readonly string[], use: 'train' | 'test') => {
    const read: { name: string; bytes: Uint8Array }[] = [];
    for (const file of files) read.push({ name: join(home, file), bytes: await recorded.read(join(home, file), use) });
    return openCifar(variant, variant, read, classes);
  };
  const [own, other] = [await open(train, 'train'), await open(test, 'test')];
  return { name: variant, train: own, test: other, notes: [], record: recorded.record(variant) };
}

/** CIFAR-100 names its classes in a file of its own; without it they stay numbers. */
async function fineNames(home: string, present: readonly string[]): Promise<string[] | undefined> {
  if (!present.includes('fine_label_names.txt')) return undefined;
  const text = new TextDecoder().decode(await readBytes(join(home, 'fine_label_names.txt')));
  return text.split(/\r?\n/).filter((line) => line !== '');
}

function splitOff(source: ImageSource, fraction: number, seed: number): { train: ImageSource; test?: ImageSource } {
  return fraction === 0 ? { train: source } : holdOut(source, fraction, seed);
}
