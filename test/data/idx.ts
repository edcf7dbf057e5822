import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openIdx, parseIdx } from '../../src/data/idx.js';
import { DataError } from '../../src/errors.js';
import { gunzip } from '../../src/formats/gzip.js';
import { seed } from '../random.js';
import { rejects } from '../rejects.js';

const test = suite('data/idx');

/** An IDX file, written without our code. */
function idx(shape: number[], values: ArrayLike<number>, type = 8): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + values.length);
  bytes.set([0, 0, type, shape.length]);
  for (const [axis, size] of shape.entries()) new DataView(bytes.buffer).setUint32(4 + 4 * axis, size);
  bytes.set(Array.from(values), 4 + 4 * shape.length);
  return bytes;
}

const refuses = (promise: Promise<unknown>, message: RegExp) => rejects(() => promise, DataError, message);

/** Passes only a DataError on. */
async function survives(promise: Promise<unknown>): Promise<void> {
  try {
    await promise;
  } catch (error) {
    assert.instance(error, DataError);
  }
}

const levels = Uint8Array.from({ length: 2 * 3 * 4 }, (_, i) => i * 10);
const images = idx([2, 3, 4], levels);
const labels = idx([2], [7, 1]);

for (const packed of [false, true]) {
  test(`gray images and labels, ${packed ? 'gzipped' : 'plain'}, come back as RGBA`, async () => {
    const pack = (bytes: Uint8Array) => (packed ? new Uint8Array(gzipSync(bytes)) : bytes);
    const source = await openIdx({ name: 'toy', images: pack(images), labels: pack(labels) });
    assert.equal([source.length, source.images], [2, 1]);
    assert.equal([...source.labels!], [7, 1]);
    const { width, height, pixels } = await source.load(1, 0);
    assert.equal([width, height], [4, 3]);
    assert.equal(
      [...pixels],
      Array.from(levels.subarray(12)).flatMap((gray) => [gray, gray, gray, 255]),
    );
    await refuses(source.load(2, 0), /toy: expected an item from 0 to 1, got 2/);
    await refuses(source.load(0.5, 0), /got 0.5/);
    await refuses(source.load(0, 1), /an item has 1 image/);
  });
}

test('every prefix of a file is refused, plain and gzipped, and so is a byte too many', async () => {
  for (let length = 0; length < images.length; length++) {
    await refuses(
      openIdx({ name: 'toy', images: images.slice(0, length) }),
      /^toy images: .*(cut short|not an IDX file)/,
    );
  }
  const packed = new Uint8Array(gzipSync(images));
  for (let length = 0; length < packed.length; length++) {
    await refuses(
      openIdx({ name: 'toy', images: packed.slice(0, length) }),
      /not a complete gzip file|not an IDX file/,
    );
  }
  await refuses(openIdx({ name: 'toy', images: Uint8Array.of(...images, 0) }), /followed by something else/);
});

test('headers that do not fit are refused with the numbers', async () => {
  const open = (bytes: Uint8Array, more?: Uint8Array, classes?: string[]) =>
    openIdx({ name: 'toy', images: bytes, ...(more && { labels: more }), ...(classes && { classes }) });
  await refuses(open(new Uint8Array(0)), /got an empty file/);
  await refuses(open(Uint8Array.of(1, 2, 3, 4, 5)), /got 1, 2, 3, 4/);
  await refuses(open(idx([1, 1, 1], [5], 13)), /type 8 \(unsigned byte\), got type 13/);
  await refuses(open(idx([], [])), /1 to 4 axes in an IDX file, got 0/);
  await refuses(open(idx([1, 1, 1, 1, 1], [5])), /got 5/);
  await refuses(open(idx([2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], [5])), /= 7.92\S+e\+28 bytes, the file holds 1/);
  await refuses(open(idx([2 ** 32 - 1, 0, 28], [])), /at least one pixel, got 4294967295 x 0 x 28/);
  await refuses(open(idx([4], [1, 2, 3, 4])), /expected N x H x W/);
  await refuses(open(images, images), /toy labels: expected 2, one an image, got 2 x 3 x 4/);
  await refuses(open(images, idx([3], [1, 2, 3])), /expected 2, one an image, got 3/);
  await refuses(open(images, labels, ['a', 'b']), /labels from 0 to 1, got 7/);
});

test('any bytes and any damage give images or a DataError, nothing else', async () => {
  const open = (bytes: Uint8Array) => survives(openIdx({ name: 'x', images: bytes, labels }));
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), open), { numRuns: 300, seed });
  const size = fc.oneof(fc.nat(4), fc.nat(2 ** 32 - 1));
  const file = fc.tuple(
    fc.array(size, { maxLength: 5 }),
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom(8, 8, 8, 9, 0),
  );
  await fc.assert(
    fc.asyncProperty(
      file.map(([shape, values, type]) => idx(shape, values, type)),
      open,
    ),
    { numRuns: 500, seed },
  );
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 3 });
  const whole = gzipSync(images);
  const damaged = (changes: [number, number][]) => {
    const bytes = new Uint8Array(whole);
    for (const [at, value] of changes) bytes[at % bytes.length] = value;
    return open(bytes);
  };
  await fc.assert(fc.asyncProperty(damage, damaged), { numRuns: 500, seed });
});

test('parseIdx hands out shape and values as a view', () => {
  const { shape, values } = parseIdx(images, 'x');
  assert.equal(shape, [2, 3, 4]);
  assert.is(values.buffer, images.buffer);
  assert.equal([...values], [...levels]);
});

test('a small file that unpacks without end is cut off', async () => {
  const bomb = new Uint8Array(gzipSync(new Uint8Array(2 ** 22)));
  const members = new Uint8Array(bomb.length * 20);
  for (let i = 0; i < 20; i++) members.set(bomb, i * bomb.length);
  await refuses(gunzip(members, 'bomb', 2 ** 24), /bomb: unpacks to more than 16777216 bytes/);
});

test('labels are whole numbers of any type, big-endian; of several columns the first counts', async () => {
  const images = idx([3, 1, 1], [1, 2, 3]);
  const labeled = async (labels: Uint8Array) => [...(await openIdx({ name: 'x', images, labels })).labels!];
  const words = (values: number[]) =>
    values.flatMap((value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
  const raw = (type: number, shape: number[], bytes: number[]) =>
    Uint8Array.from([0, 0, type, shape.length, ...shape.flatMap((size) => words([size])), ...bytes]);
  assert.equal(await labeled(raw(9, [3], [0, 127, 5])), [0, 127, 5]);
  assert.equal(await labeled(raw(11, [3], [0, 9, 1, 0, 0, 2])), [9, 256, 2]);
  assert.equal(await labeled(raw(12, [3], words([7, 70_000 - 65_536, 0]))), [7, 4464, 0]);
  assert.equal(await labeled(raw(12, [3, 2], words([4, 99, 5, 98, 6, 97]))), [4, 5, 6]);
  for (const [bytes, message] of [
    [raw(9, [3], [0, 255, 1]), /x labels: expected labels from 0 to 65535, got -1/],
    [raw(12, [3], words([0, 65_536, 0])), /from 0 to 65535, got 65536/],
    [raw(13, [3], words([0, 0, 0])), /whole number \(type 8, 9, 11 or 12\), got type 13/],
    [raw(12, [3], words([0, 0])), /cut short/],
    [raw(12, [2], words([0, 0])), /expected 3, one an image, got 2/],
    [raw(12, [3, 0], []), /expected 3, one an image, got 3 x 0/],
  ] as const)
    await refuses(labeled(bytes), message);
});

test.run();
