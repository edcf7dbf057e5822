import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import sharp from 'sharp';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { loadPicture } from '../../../src/data/picture.js';
import { ConfigError, DataError } from '../../../src/errors.js';
import { openDataset } from '../../../src/node/data/datasets.js';
import { openEmoji } from '../../../src/node/data/emoji.js';
import { inFolder } from '../../outside.js';
import { rejects } from '../../rejects.js';

const test = suite('node/data/datasets');

const refuses = (promise: Promise<unknown>, message: RegExp, kind: typeof DataError = DataError) =>
  rejects(() => promise, kind, message);

async function grey(path: string, level: number, side = 2): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const background = { r: level, g: level, b: level };
  await sharp({ create: { width: side, height: side, channels: 3, background } })
    .png()
    .toFile(path);
}

/** IDX bytes of `count` 2 x 2 images of one grey each, and of their labels. */
function idx(count: number, first: number): { images: Uint8Array; labels: Uint8Array } {
  const images = Uint8Array.of(0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 2, ...Array(count * 4).fill(first));
  const labels = Uint8Array.of(0, 0, 8, 1, 0, 0, 0, count, ...Array.from({ length: count }, (_, i) => i % 10));
  return { images, labels };
}

test('emoji, paired: the twins are the views, a fifth of the emoji is held out, none is in both parts', async () => {
  const emoji = await openEmoji();
  const { name, train, test: held, notes } = await openDataset('emoji', { seed: 5 });
  assert.is(name, 'emoji (paired)');
  assert.equal([train.length, train.pictures, held!.length, held!.pictures], [1525, 2, 381, 2]);
  const count = (labels: Int32Array) =>
    Array.from({ length: 9 }, (_, c) => labels.filter((label) => label === c).length);
  const both = count(train.labels!).map((n, c) => n + count(held!.labels!)[c]);
  assert.equal(both, count(emoji.labels!));
  // Drawings are views of one array of the style: the place tells which emoji it is.
  const seen = new Set<number>();
  for (const part of [train, held!]) {
    for (let item = 0; item < part.length; item++) seen.add((await loadPicture(part, item, 0)).pixels.byteOffset);
  }
  assert.is(seen.size, 1906);
  assert.match(notes.join('\n'), /1906 emoji in two styles; 381 of them held out by seed 5$/m);
  assert.match(notes.join('\n'), /Noto Emoji .*Apache-2.0.*Twemoji .*CC BY 4.0/);
});

test('emoji, augmented: every drawing is an item; the split is the same as paired', async () => {
  const paired = await openDataset('emoji', { seed: 5 });
  const augmented = await openDataset('emoji', { seed: 5, protocol: 'augmented' });
  assert.is(augmented.name, 'emoji (augmented)');
  assert.equal([augmented.train.length, augmented.train.pictures], [3050, 1]);
  assert.equal([augmented.test!.length, augmented.test!.pictures], [381, 2]);
  for (const item of [0, 777, 1524]) {
    for (const picture of [0, 1] as const) {
      assert.equal(await augmented.train.load(2 * item + picture, 0), await paired.train.load(item, picture));
    }
  }
  assert.equal(augmented.test!.labels, paired.test!.labels);
  const other = await openDataset('emoji', { seed: 6 });
  assert.not.equal(await other.test!.load(0, 0), await paired.test!.load(0, 0));
  const whole = await openDataset('emoji', { heldOut: 0 });
  assert.equal([whole.train.length, whole.test], [1906, undefined]);
});

test('a labelled folder is split by seed, an unlabelled one is all to train on', () =>
  inFolder(async (folder) => {
    for (let i = 0; i < 20; i++) await grey(join(folder, i % 2 ? 'odd' : 'even', `${10 + i}.png`), i);
    const set = await openDataset(folder, { seed: 3 });
    assert.equal([set.train.length, set.test!.length], [16, 4]);
    const levels: number[] = [];
    for (const part of [set.train, set.test!]) {
      for (let item = 0; item < part.length; item++) {
        const level = (await loadPicture(part, item, 0)).pixels[0];
        assert.is(part.labels![item], level % 2);
        levels.push(level);
      }
    }
    assert.equal(
      levels.toSorted((a, b) => a - b),
      Array.from({ length: 20 }, (_, i) => i),
    );
    assert.match(set.notes[0], /4 of 20 images held out by seed 3/);
    const flat = await openDataset(join(folder, 'odd'));
    assert.equal([flat.train.length, flat.test, flat.notes], [10, undefined, []]);
    await writeFile(join(folder, 'odd', 'bad.png'), 'x');
    assert.match((await openDataset(join(folder, 'odd'))).notes[0], /^odd: skipped 1 of 11 images: bad.png \(/);
  }));

test('a folder of train and test folders is taken as split; their labels must agree', () =>
  inFolder(async (folder) => {
    for (const [part, count] of Object.entries({ train: 3, val: 2 })) {
      for (const label of ['a', 'b']) {
        for (let i = 0; i < count; i++) await grey(join(folder, part, label, `${i}.png`), i);
      }
    }
    const { train, test: held } = await openDataset(folder);
    assert.equal(
      [[...train.labels!], [...held!.labels!]],
      [
        [0, 0, 0, 1, 1, 1],
        [0, 0, 1, 1],
      ],
    );
    await rename(join(folder, 'val'), join(folder, 'elsewhere'));
    assert.equal((await openDataset(folder)).train.classes, ['elsewhere', 'train']);
    await rename(join(folder, 'elsewhere'), join(folder, 'val'));
    for (const label of ['a', 'b']) await grey(join(folder, 'test', label, '0.png'), 9);
    const both = await openDataset(folder);
    assert.equal([both.train.length, both.test?.length, both.train.classes], [6, 2, ['a', 'b']]);
    assert.match(both.notes[0], /'val' is not used, for 'test' is there/);
    await rm(join(folder, 'test'), { recursive: true });
    await rename(join(folder, 'val'), join(folder, '.val'));
    const lone = await openDataset(folder, { heldOut: 0.34 });
    assert.equal([lone.train.length, lone.test?.length, lone.train.classes], [4, 2, ['a', 'b']]);
    await rename(join(folder, '.val'), join(folder, 'val'));
    await rename(join(folder, 'val', 'b'), join(folder, 'val', 'c'));
    await refuses(openDataset(folder), /differ in their labels: b, c/);
  }));

test('images of a folder are as large as the encoder wants to see them', () =>
  inFolder(async (folder) => {
    await grey(join(folder, 'large.png'), 7, 600);
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
    assert.equal([...(await loadPicture(fashion.test!, 2, 0)).pixels.subarray(0, 4)], [90, 90, 90, 255]);
    assert.is((await openDataset(`idx:${folder}`)).train.classes, undefined);
    await rm(join(folder, 't10k-labels-idx1-ubyte'));
    await refuses(
      openDataset(`idx:${folder}`),
      /expected t10k-labels-idx1-ubyte.gz or t10k-labels-idx1-ubyte in .*found neither/,
    );
    await writeFile(join(folder, 't10k-labels-idx1-ubyte'), '');
    await refuses(openDataset(`idx:${folder}`), /t10k labels: not an IDX file: .*empty file/);
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
      assert.is((await loadPicture(train, 4, 0)).pixels[0], 5);
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
  await refuses(openDataset('src'), /expected PNG, JPEG or WebP files/);
});

test.run();
