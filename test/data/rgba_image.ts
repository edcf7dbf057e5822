import sharp from 'sharp';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resizeSquare } from '../../src/data/resize.js';
import { imageOf, loadImage, MID_GRAY } from '../../src/data/rgba_image.js';
import type { ImageLike, ImageSource, RgbaImage } from '../../src/data/source.js';
import { squares } from '../../src/data/squares.js';
import { DataError } from '../../src/errors.js';
import { shrink } from '../../src/eval/raw_pixels.js';
import { generator, seed } from '../random.js';
import { rejects } from '../rejects.js';

const random = generator();
const bytes = (length: number) => Uint8Array.from({ length }, () => 256 * random());
const opaque = (width: number, height: number): RgbaImage => ({
  width,
  height,
  pixels: bytes(width * height * 4).map((value, i) => (i % 4 === 3 ? 255 : value)),
});

/** Gives whatever it is told to, typed or not. */
const source = (given: unknown, more: Partial<ImageSource> = {}): ImageSource => ({
  name: 'given',
  length: 3,
  images: 1,
  load: async () => given as ImageLike,
  ...more,
});

test('every value at every alpha becomes what the decoder of files makes of it', async () => {
  const pixels = new Uint8Array(256 * 256 * 4);
  for (let i = 0; i < 256 * 256; i++) pixels.set([i & 255, (i + 85) & 255, (i * 7) & 255, i >> 8], i * 4);
  const before = pixels.slice();
  const raw = { width: 256, height: 256, channels: 4 } as const;
  const expected = await sharp(pixels, { raw }).flatten({ background: MID_GRAY }).ensureAlpha().raw().toBuffer();
  const got = imageOf({ width: 256, height: 256, pixels }, 'p').pixels;
  assert.is(Buffer.compare(Buffer.from(got), expected), 0);
  assert.equal(pixels, before, 'what was given stays as it is');
});

test('opaque bytes are passed on without a copy, and ImageData is an image', () => {
  const { width, height, pixels } = opaque(3, 2);
  assert.is(imageOf({ width, height, pixels }, 'p').pixels, pixels);
  const data = Uint8ClampedArray.from(pixels);
  for (const image of [
    { width, height, data },
    { width, height, data, colorSpace: 'srgb' },
  ])
    assert.equal(imageOf(image, 'p'), { width, height, pixels: data });
  data[7] = 0;
  const [, second] = [0, 1].map((i) => [...imageOf({ width, height, data }, 'p').pixels.subarray(4 * i, 4 * i + 4)]);
  assert.equal(second, [128, 128, 128, 255], 'transparent');
});

test('what is no image is refused by the name of its source, its item and what is wrong', async () => {
  const data = new Uint8ClampedArray(16);
  for (const [bad, message] of [
    [undefined, /^given: item 2: expected an image .* or an ImageData, got sides undefined and undefined/],
    [null, /got sides undefined/],
    ['text', /got sides undefined/],
    [{ width: 2, height: 0, data }, /got sides 2 and 0/],
    [{ width: 2, height: 2.5, data }, /got sides 2 and 2.5/],
    [{ width: 2, height: 2 }, /got undefined/],
    [{ width: 2, height: 2, pixels: null }, /got null/],
    [{ width: 2, height: 2, pixels: [...data] }, /got Array of 16/],
    [{ width: 2, height: 2, data: data.subarray(1) }, /a Uint8Array of 16 bytes, .*Uint8ClampedArray of 15$/],
    [{ width: 2, height: 2, data, colorSpace: 'display-p3' }, /got colorSpace 'display-p3'; .*colorSpace: 'srgb'/],
    [{ width: 2, height: 2, data: new Float32Array(16) }, /got Float32Array of 16; .*'rgba-unorm8'/],
  ] as const)
    await rejects(() => loadImage(source(bad), 2, 0), DataError, message);
  await rejects(() => loadImage(source(0, { images: 2 }), 1, 1), DataError, /^given: item 1, image 1: expected/);
  const bound = { side: 4, pixels: 9 };
  assert.is((await loadImage(source(opaque(4, 2), { bound }), 0, 0)).width, 4);
  for (const [width, height] of [
    [5, 1],
    [4, 3],
  ])
    await rejects(
      () => loadImage(source(opaque(width, height), { bound }), 0, 0),
      DataError,
      new RegExp(`sides of at most 4 and 9 pixels in all, as the source's bound says, got ${width} x ${height}`),
    );
});

test("squares are the source's own where it makes them, else made of what load() gives", async () => {
  const image = opaque(11, 5);
  const about = { labels: Int32Array.of(2, 0, 1), classes: ['a', 'b', 'c'], names: ['x', 'y', 'z'] };
  const plain = squares(source(image, about), 4);
  assert.equal(await plain.load(0, 0), resizeSquare(image, 4), `seed ${seed}`);
  assert.equal([plain.labels, plain.classes, plain.names], [about.labels, about.classes, about.names]);
  assert.equal(plain.bound, { side: 4, pixels: 16 });

  const asked: unknown[] = [];
  const square: ImageSource['square'] = async (...which) => {
    asked.push(which);
    return opaque(which[2], which[0] === 2 ? which[2] + 1 : which[2]);
  };
  const own = squares(source(undefined, { square, images: 2 }), 6);
  assert.is((await own.load(1, 1)).height, 6);
  assert.equal(asked, [[1, 1, 6, {}]]);
  await rejects(() => own.load(2, 0), DataError, /^given: item 2, image 0: expected 6 x 6 pixels .*, got 6 x 7$/);
  await rejects(
    () => squares(source(0, { square: async () => ({ width: 6, height: 6, pixels: bytes(5) }) }), 6).load(0, 0),
    DataError,
    /^given: item 0: expected a Uint8Array of 144 bytes/,
  );
});

test('alpha counts before any resizing, for squares and raw pixels alike', async () => {
  const pixels = bytes(7 * 9 * 4);
  const flat = imageOf({ width: 7, height: 9, pixels }, 'p');
  const given = source({ width: 7, height: 9, data: Uint8ClampedArray.from(pixels) });
  assert.equal(await squares(given, 3).load(0, 0), resizeSquare(flat, 3), `seed ${seed}`);
  assert.equal(shrink(await loadImage(given, 0, 0), 3), shrink(flat, 3));
});

test.run();
