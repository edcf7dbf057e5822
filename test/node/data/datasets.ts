import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadImage } from '../../../src/data/rgba_image.js';
import type { ImageSource, RgbaImage } from '../../../src/data/source.js';
import { drawOf } from '../../../src/data/split.js';
import { ConfigError, DataError } from '../../../src/errors.js';
import { openDataset } from '../../../src/node/data/datasets.js';
import { openEmoji } from '../../../src/node/data/emoji.js';
import { openImageFolder } from '../../../src/node/data/image_folder.js';
import { digestOf } from '../../../src/node/data/record.js';
import { inFolder } from '../../outside.js';
import { rejects } from '../../rejects.js';

const test = suite('node/data/datasets');

const refuses = (promise: Promise<unknown>, message: RegExp, kind: typeof DataError = DataError) =>
  rejects(() => promise, kind, message);

async function gray(path: string, level: number, side = 2): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const background = { r: level, g: level, b: level };
  await sharp({ create: { width: side, height: side, channels: 3, background } })
    .png()
    .toFile(path);
}

/** IDX bytes of `count` 2 x 2 images of one gray each, and of their labels. */
function idx(count: number, first: number): { images: Uint8Array; labels: Uint8Array } {
  const images = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2, ...Array(count * 4).fill(first));
  const labels = Uint8Array.of(0, 0, 8, 1, 0, 0, 0, count, ...Array.from({ length: count }, (_, i) => i % 10));
  return { images, labels };
}

test('emoji, paired: the twins are the views, a fifth of the emoji is held out, none is in both parts', async () => {
  const emoji = await openEmoji();
  const { name, train, test: held, notes } = await openDataset('emoji', { seed: 5 });
  assert.is(name, 'emoji (paired)');
  assert.equal([train.length, train.images, held!.length, held!.images], [1523, 2, 383, 2]);
  const count = (labels: Int32Array) =>
    Array.from({ length: 9 }, (_, c) => labels.filter((label) => label === c).length);
  const both = count(train.labels!).map((n, c) => n + count(held!.labels!)[c]);
  assert.equal(both, count(emoji.labels!));
  // Drawings are views of one array of the style: the place tells which emoji it is.
  const seen = new Set<number>();
  for (const part of [train, held!]) {
    for (let item = 0; item < part.length; item++) seen.add((await loadImage(part, item, 0)).pixels.byteOffset);
  }
  assert.is(seen.size, 1906);
  assert.match(notes.join('\n'), /1906 emoji in two styles; 383 of them held out by seed 5$/m);
  assert.match(notes.join('\n'), /Noto Emoji .*Apache-2.0.*Twemoji .*CC BY 4.0/);
});

test('emoji, augmented: every drawing is an item; the split is the same as paired', async () => {
  const paired = await openDataset('emoji', { seed: 5 });
  const augmented = await openDataset('emoji', { seed: 5, protocol: 'augmented' });
  assert.is(augmented.name, 'emoji (augmented)');
  assert.equal([augmented.train.length, augmented.train.images], [3046, 1]);
  assert.equal([augmented.test!.length, augmented.test!.images], [383, 2]);
  for (const item of [0, 777, 1522]) {
    for (const image of [0, 1] as const) {
      assert.equal(await augmented.train.load(2 * item + image, 0), await paired.train.load(item, image));
    }
  }
  assert.equal(augmented.test!.labels, paired.test!.labels);
  const other = await openDataset('emoji', { seed: 6 });
  assert.not.equal(await other.test!.load(0, 0), await paired.test!.load(0, 0));
  const whole = await openDataset('emoji', { holdOut: 0 });
  assert.equal([whole.train.length, whole.test], [1906, undefined]);
});

/** A folder of images, one of its own gray each: their paths. */
async function tree(folder: string, ...paths: string[]): Promise<void> {
  for (const [i, path] of paths.entries()) await gray(join(folder, path), i % 256, 2 + (i >> 8));
}

const numbers = (count: number, path: (i: number) => string) => Array.from({ length: count }, (_, i) => path(i));

test('a labeled folder is split by seed and names, an unlabeled one is all to train on', () =>
  inFolder(async (folder) => {
    await tree(folder, ...numbers(60, (i) => `${i % 2 ? 'odd' : 'even'}/${10 + i}.png`));
    const set = await openDataset(folder, { seed: 3 });
    const { train, test: held, notes } = set;
    assert.is(train.length + held!.length, 60);
    assert.ok(held!.length > 3 && held!.length < 25, `${held!.length}`);
    const levels: number[] = [];
    for (const part of [train, held!]) {
      for (let item = 0; item < part.length; item++) {
        const { pixels } = (await part.load(item, 0)) as RgbaImage;
        assert.is(part.labels![item], pixels[0] % 2);
        levels.push(pixels[0]);
      }
    }
    assert.equal(
      levels.toSorted((a, b) => a - b),
      numbers(60, String).map(Number),
    );
    assert.equal(notes, [`${folder}: train ${train.length} in 2 classes, held out ${held!.length} by seed 3`]);
    for (const options of [{ holdOut: 0 }, { labels: false }]) {
      const all = await openDataset(folder, options);
      assert.equal([all.train.length, all.test], [60, undefined]);
      assert.is(all.train.labels === undefined, 'labels' in options);
    }
    const flat = await openDataset(join(folder, 'odd'));
    assert.equal([flat.train.length, flat.test], [30, undefined]);
    assert.equal(flat.notes, [`${join(folder, 'odd')}: 30 images without labels`]);
    await writeFile(join(folder, 'odd', 'bad.png'), 'x');
    assert.match(
      (await openDataset(join(folder, 'odd'))).notes[0],
      /; left out: 1 that cannot be decoded: bad\.png \(/,
    );
  }));

test('copies of images to train on are not tested with, whatever they are called', () =>
  inFolder(async (folder) => {
    await tree(folder, ...numbers(120, (i) => `${i % 3}/${i}.png`));
    const before = await openDataset(folder, { seed: 1 });
    const [own] = before.train.names!;
    const bytes = await readFile(join(folder, own));
    // a name that the seed holds out
    const name = numbers(200, (i) => `0/copy of all ${i}x.png`).find((path) => drawOf(path, 1) < 0.2) as string;
    await writeFile(join(folder, name), bytes);
    const after = await openDataset(folder, { seed: 1 });
    assert.equal([after.train.names, after.test!.names], [before.train.names, before.test!.names]);
    assert.match(after.notes[1], /1 held-out images are byte for byte images to train on, and are not tested with/);
  }));

test('parts, classes, and what is neither', () =>
  inFolder(async (folder) => {
    const part = (name: string, count: number, classes = ['a', 'b']) =>
      classes.flatMap((label) => numbers(count, (i) => `${name}/${label}/${name}${i}.png`));
    const opened = async (...paths: string[]) => {
      await rm(folder, { recursive: true, force: true });
      await tree(folder, ...paths);
      const { train, test: held, notes } = await openDataset(folder);
      const { classes } = train;
      const by = (source?: ImageSource) =>
        source?.names?.map((path, i) => [path, source.labels && classes![source.labels[i]]]);
      return { train: by(train)!, held: by(held), classes, notes };
    };
    const expected = {
      train: part('Training', 3).map((path) => [path, path[9]]),
      held: part('Val', 2).map((path) => [path, path[4]]),
    };
    for (const beside of [
      [],
      ['__MACOSX/Training/a/._x.png'],
      ['extra/1.png', 'extra/2.png'],
      ['loose.png'],
      ['@eaDir/x.png/thumb.jpg'],
    ]) {
      const { train, held, notes } = await opened(...part('Training', 3), ...part('Val', 2), ...beside);
      assert.equal([train, held], [expected.train, expected.held], beside.join());
      const left = /^.*: train 6 in 2 classes, validation 4(; left out: (.*))?$/.exec(notes.join('\n'));
      assert.ok(left, notes.join('\n'));
      assert.is(left[2] === undefined, beside.length === 0);
    }
    // one and two folders too deep, as archives unpack
    for (const above of ['set', 'set/set']) {
      const { train, held } = await opened(
        ...[...part('Training', 3), ...part('Val', 2)].map((path) => `${above}/${path}`),
      );
      assert.equal([train.length, held!.length, train[0][1]], [6, 4, 'a']);
    }
    // a test part without labels, or without all of them, keeps nobody from training
    const flat = await opened(...part('train', 30), 'test/1.png', 'test/2.png');
    assert.equal(flat.classes, ['a', 'b']);
    assert.ok(
      flat.train.length + flat.held!.length === 60 &&
        flat.held!.every(([path]) => (path as string).startsWith('train/')),
    );
    assert.match(flat.notes[0], /2 in test \(no sub-folders named like the classes\)/);
    const partly = await opened(...part('train', 3, ['a', 'b', 'c']), ...part('test', 2, ['a', 'd']));
    assert.equal([partly.classes, partly.train.length, partly.held!.length], [['a', 'b', 'c', 'd'], 9, 4]);
    assert.match(partly.notes[1], /1 classes are tested and never trained on: d/);
    // both a test part and a validation part
    const both = await opened(...part('train', 3), ...part('val', 2), ...part('test', 1));
    assert.equal([both.train.length, both.held!.length], [6, 2]);
    assert.match(both.notes[0], /4 in val \('test' is used\)/);
    // names of one class in both of Unicode's forms
    const accents = await opened('train/é/1.png', 'train/b/2.png', 'test/e\u0301/3.png');
    assert.equal([accents.classes, accents.held], [['b', 'é'], [['test/é/3.png', 'é']]]);
  }));

test('it stops where the name of a part would become a class, and says what to give', () =>
  inFolder(async (folder) => {
    const set = join(folder, 'set');
    const stops = async (paths: string[], message: RegExp) => {
      await rm(set, { recursive: true, force: true });
      await tree(set, ...paths);
      await refuses(openDataset(set), message);
      await refuses(openImageFolder(set), message);
      const { train } = await openDataset(set, { labels: false });
      assert.equal([train.length, train.labels], [paths.length, undefined]);
    };
    const remedies = /--no-labels/;
    await stops(
      ['cat/1.png', 'train/2.png', 'bus/3.png'],
      /'train' lies next to 'bus', 'cat' .* --train-dir train; .*--train-dir \./,
    );
    await stops(['cat/1.png', 'train/2.png', 'bus/3.png'], remedies);
    await stops(
      ['cat/1.png', 'TEST/2.png'],
      /'TEST' is named like a part to test with, and there is none to train on: give --test-dir TEST/,
    );
    await stops(
      ['train/1.png', 'training/2.png', 'test/3.png'],
      /'train', 'training' are both named like the part to train on/,
    );
    await stops(
      ['cat/train/1.png', 'cat/test/2.png', 'dog/3.png'],
      /folders of classes hold parts .*1 of 3 images are in none/,
    );
    await stops(
      ['train/cat/1.png', 'train/test/2.png', 'test/cat/3.png'],
      /'train' holds a folder 'test', a part within a part/,
    );
    const split = await openDataset(set, { trainDir: 'train', testDir: `${set}/test/` });
    assert.equal([split.train.classes, split.train.length, split.test!.length], [['cat', 'test'], 2, 1]);
    await rm(set, { recursive: true });
    await tree(set, 'cat/1.png', 'train/2.png', 'bus/3.png', 'test/4.png');
    const vehicles = await openDataset(set, { trainDir: '.', holdOut: 0 });
    assert.equal(vehicles.train.classes, ['bus', 'cat', 'test', 'train']);
    const rest = await openDataset(set, { testDir: 'test' });
    assert.equal([rest.train.classes, rest.train.length], [['bus', 'cat', 'train'], 3]);
    await refuses(
      openDataset(set, { trainDir: 'tran' }),
      /--train-dir: expected a folder with images .* got 'tran'; there are bus, cat, /,
    );
    await refuses(openDataset(set, { trainDir: 'cat', testDir: 'cat' }), /are one folder/);
    await refuses(openDataset('emoji', { testDir: 'x' }), /testDir is for folders of images/, ConfigError);
    await refuses(openImageFolder(set), /'train' and 'test': open .* openDataset/);
    assert.equal((await openImageFolder(set, { labels: true })).classes, ['bus', 'cat', 'test', 'train']);
    await rm(set, { recursive: true });
    await tree(set, ...numbers(9, (i) => `${i}.png`), 'album/1.png', 'other/1.png');
    await refuses(
      openDataset(set),
      /9 images lie next to the sub-folders that would be their classes \(album, other\), which hold 2: give --no-labels/,
    );
  }));

test('the record of a folder tells every change, and one that is known is compared before anything is decoded', () =>
  inFolder(async (folder) => {
    await tree(folder, ...numbers(30, (i) => `${i % 2}/${i}.png`));
    await writeFile(join(folder, '0', 'bad.png'), 'x');
    const known = (await openDataset(folder)).record!;
    assert.is(known.files.length, 31);
    assert.equal(known.files.find(({ path }) => path === '0/bad.png')?.use, 'skipped');
    assert.is(digestOf((await openDataset(folder)).record!), digestOf(known));
    assert.is.not(digestOf((await openDataset(folder, { seed: 9 })).record!), digestOf(known));
    let decoded = 0;
    const again = () => openDataset(folder, { known, onProgress: () => decoded++ });
    await again();
    assert.is(decoded, 31);
    decoded = 0;
    await gray(join(folder, '1', 'new.png'), 77);
    await rm(join(folder, '0', '4.png'));
    await refuses(
      again(),
      /the data are not those that the run was begun with: 1 added \(1\/new.png\), 1 removed \(0\/4.png\); .*--accept-data/,
    );
    assert.is(decoded, 0);
  }));

test('images of a folder are as large as the encoder wants to see them', () =>
  inFolder(async (folder) => {
    await gray(join(folder, 'large.png'), 7, 600);
    for (const [imageSize, side] of [
      [undefined, 256],
      [32, 256],
      [512, 512],
    ] as const) {
      const { train } = await openDataset(folder, imageSize === undefined ? {} : { imageSize });
      assert.is((await train.load(0, 0)).width, side);
    }
  }));

test('IDX folders, plain and gzipped; fashion-mnist names its classes', () =>
  inFolder(async (folder) => {
    const [train, held] = [idx(12, 40), idx(3, 90)];
    await writeFile(join(folder, 'train-images-idx3-ubyte'), train.images);
    await writeFile(join(folder, 'train-labels-idx1-ubyte.gz'), gzipSync(train.labels));
    await writeFile(join(folder, 't10k-images-idx3-ubyte.gz'), gzipSync(held.images));
    await writeFile(join(folder, 't10k-labels-idx1-ubyte'), held.labels);
    const fashion = await openDataset(`fashion-mnist:${folder}`);
    assert.equal([fashion.train.length, fashion.test!.length], [12, 3]);
    assert.is(fashion.train.classes![fashion.train.labels![9]], 'Ankle boot');
    assert.equal([...(await loadImage(fashion.test!, 2, 0)).pixels.subarray(0, 4)], [90, 90, 90, 255]);
    assert.is((await openDataset(`idx:${folder}`)).train.classes, undefined);
    assert.equal((await openDataset(`idx:${folder}`, { labels: false })).train.labels, undefined);
    await rm(join(folder, 't10k-labels-idx1-ubyte'));
    assert.is((await openDataset(`idx:${folder}`)).test!.labels, undefined);
    const record = (await openDataset(`idx:${folder}`)).record!;
    assert.equal(
      record.files.map(({ path, use }) => `${path} ${use}`),
      ['train-images-idx3-ubyte train', 'train-labels-idx1-ubyte.gz train', 't10k-images-idx3-ubyte.gz test'],
    );
    await writeFile(join(folder, 't10k-labels-idx1-ubyte'), '');
    await refuses(openDataset(`idx:${folder}`), /t10k labels: not an IDX file: .*empty file/);
  }));

test('IDX sets under their other usual names, without a part to test with, or several in one folder', () =>
  inFolder(async (folder) => {
    const { images, labels } = idx(12, 40);
    for (const [image, label] of [
      ['train-images.idx3-ubyte', 'train-labels.idx1-ubyte'],
      ['emnist-letters-train-images-idx3-ubyte', 'emnist-letters-train-labels-idx1-ubyte'],
      ['qmnist-train-images-idx3-ubyte', 'qmnist-train-labels-idx2-int'],
      ['TRAIN-IMAGES', 'TRAIN-LABELS'],
    ]) {
      const own = join(folder, image);
      await mkdir(own);
      await writeFile(join(own, image), images);
      await writeFile(join(own, `${label}.gz`), gzipSync(labels));
      await writeFile(join(own, 'train-images-preview.png'), 'x');
      const set = await openDataset(`idx:${own}`);
      assert.equal([set.train.length, set.train.labels?.[3], set.test], [12, 3, undefined], image);
    }
    const own = join(folder, 'train-images.idx3-ubyte');
    await writeFile(join(own, 'emnist-train-images-idx3-ubyte'), images);
    await refuses(openDataset(`idx:${own}`), /expected one file of images for each part .*; keep one set/);
    await refuses(openDataset(`idx:${join(folder)}`), /expected train-images-idx3-ubyte, or another usual name/);
  }));

test("Debian's fashion-mnist is whole, or the error says how to get it", async () => {
  if (existsSync('/usr/share/datasets/fashion-mnist')) {
    const { train, test: held } = await openDataset('fashion-mnist');
    assert.equal([train.length, held!.length, train.classes!.length], [60000, 10000, 10]);
  } else {
    await refuses(
      openDataset('fashion-mnist'),
      /apt install dataset-fashion-mnist', or name a folder: fashion-mnist:DIR/,
    );
  }
});

test('CIFAR folders, as they are unpacked or the files themselves', () =>
  inFolder(async (folder) => {
    const record = (...head: number[]) => Uint8Array.from([...head, ...Array(3072).fill(head.at(-1))]);
    const ten = join(folder, 'cifar-10-batches-bin');
    await mkdir(ten);
    for (let i = 1; i <= 5; i++) await writeFile(join(ten, `data_batch_${i}.bin`), record(i));
    await refuses(
      openDataset(`cifar10:${folder}`),
      /cifar10: expected the binary version in .*; it has no test_batch.bin/,
    );
    await writeFile(join(ten, 'test_batch.bin'), record(9));
    for (const place of [folder, ten]) {
      const { train, test: held } = await openDataset(`cifar10:${place}`);
      assert.equal([[...train.labels!], [...held!.labels!]], [[1, 2, 3, 4, 5], [9]]);
      assert.is(train.classes![5], 'dog');
      assert.is((await loadImage(train, 4, 0)).pixels[0], 5);
    }
    await writeFile(join(folder, 'train.bin'), record(3, 77));
    await writeFile(join(folder, 'test.bin'), record(4, 78));
    const hundred = await openDataset(`cifar100:${folder}`);
    assert.equal([hundred.train.labels![0], hundred.test!.labels![0], hundred.train.classes], [77, 78, undefined]);
    const names = Array.from({ length: 100 }, (_, i) => `class ${i}`);
    await writeFile(join(folder, 'fine_label_names.txt'), `${names.join('\n')}\n\n`);
    assert.is((await openDataset(`cifar100:${folder}`)).train.classes![77], 'class 77');
    await writeFile(join(ten, 'data_batch_3.bin'), record(3).subarray(0, 3000));
    await refuses(openDataset(`cifar10:${folder}`), /data_batch_3.bin: expected records of 3073 bytes/);
  }));

test('names that are no data are refused with those that are', async () => {
  const known = /emoji, fashion-mnist, fashion-mnist:DIR, idx:DIR, cifar10:DIR, cifar100:DIR, or a folder of images/;
  await refuses(openDataset('emojis'), /there is no folder emojis; expected/);
  await refuses(openDataset('emojis'), known);
  await refuses(openDataset('cifar10:/nowhere/at/all'), /\/nowhere\/at\/all: no such file or folder/);
  for (const data of ['emoji:dir', 'cifar10:', 'emoji:']) await refuses(openDataset(data), known, ConfigError);
  await refuses(openDataset('cifar10'), /cifar10 is read from a folder: expected cifar10:DIR/, ConfigError);
  await refuses(openDataset('src', { protocol: 'paired' }), /'paired' needs twins, which emoji alone has/, ConfigError);
  await refuses(openDataset('src'), /expected PNG, JPEG, WebP, GIF, TIFF or AVIF files/);
});

test.run();
