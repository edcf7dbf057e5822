import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { eachImage, halve, oneImage, reduced, subset } from '../../src/data/derived.js';
import { loadImage } from '../../src/data/rgba_image.js';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { DataError } from '../../src/errors.js';
import { generator } from '../random.js';
import { rejects } from '../rejects.js';

const test = suite('data/source');
const random = generator();

/** Items whose one pixel tells item and image. */
function numbered(length: number, images: 1 | 2): ImageSource<RgbaImage> {
  return {
    name: 'numbered',
    length,
    images,
    labels: Int32Array.from({ length }, (_, item) => item % 3),
    classes: ['a', 'b', 'c'],
    load: async (item, image) => ({ width: 1, height: 1, pixels: Uint8Array.of(item, image, 0, 255) }),
  };
}

async function contents(source: ImageSource): Promise<string[]> {
  const all: string[] = [];
  for (let item = 0; item < source.length; item++) {
    for (let image = 0; image < source.images; image++) {
      const { pixels } = await loadImage(source, item, image as 0 | 1);
      all.push(`${pixels[0]}/${pixels[1]}:${source.labels?.[item]}`);
    }
  }
  return all;
}

const refused = (message: RegExp) => (error: Error) => error instanceof DataError && message.test(error.message);

const refuses = (promise: Promise<unknown>, message: RegExp) => rejects(() => promise, DataError, message);

test('subset keeps images and labels together, in the order asked for', async () => {
  const part = subset(numbered(6, 2), [5, 0, 4], 'some');
  assert.equal(await contents(part), ['5/0:2', '5/1:2', '0/0:0', '0/1:0', '4/0:1', '4/1:1']);
  assert.equal([part.name, part.length, part.images], ['some', 3, 2]);
  assert.equal(part.classes, ['a', 'b', 'c']);
  assert.throws(() => subset(numbered(6, 2), [6]), refused(/numbered: expected an item from 0 to 5, got 6/));
  await refuses(part.load(3, 0), /some: expected an item from 0 to 2, got 3/);
});

test('eachImage makes every image an item with its label', async () => {
  const all = eachImage(numbered(3, 2));
  assert.is(all.images, 1);
  assert.equal(await contents(all), ['0/0:0', '0/1:0', '1/0:1', '1/1:1', '2/0:2', '2/1:2']);
  await refuses(all.load(0, 1), /an item has 1 image/);
  const single = numbered(3, 1);
  assert.is(eachImage(single), single);
});

test('names, digests and squares go with the items, however they are chosen', async () => {
  const source: ImageSource<RgbaImage> = {
    ...numbered(6, 2),
    names: ['a', 'b', 'c', 'd', 'e', 'f'],
    digests: Uint32Array.of(10, 11, 12, 13, 14, 15),
    sizes: Uint32Array.from({ length: 24 }, (_, i) => i),
    square: async (item, image, size) => ({
      width: size,
      height: size,
      pixels: new Uint8Array(size * size * 4).fill(10 * item + image),
    }),
  };
  const part = subset(source, [5, 1]);
  assert.equal(
    [part.names, [...part.digests!]],
    [
      ['f', 'b'],
      [15, 11],
    ],
  );
  assert.equal([...part.sizes!], [20, 21, 22, 23, 4, 5, 6, 7]);
  assert.is((await part.square!(1, 1, 3)).pixels[35], 11);
  await refuses(part.square!(2, 0, 3), /expected an item from 0 to 1, got 2/);
  const each = eachImage(part);
  assert.equal(
    [each.names, [...each.digests!]],
    [
      ['f', 'f', 'b', 'b'],
      [15, 15, 11, 11],
    ],
  );
  assert.equal([...each.sizes!], [...part.sizes!]);
  assert.is((await each.square!(1, 0, 2)).pixels[0], 51);
  const second = oneImage(part, 1);
  assert.equal([second.images, second.length, second.names], [1, 2, ['f', 'b']]);
  assert.equal([...second.sizes!], [22, 23, 6, 7]);
  assert.is((await second.square!(1, 0, 2)).pixels[0], 11);
  assert.equal(await contents(second), ['5/1:2', '1/1:1']);
  assert.is(subset(numbered(3, 1), [0]).square, undefined);
});

test('images are halved by the means of 2 x 2 pixels while twice as large as needed, odd sides rounded up', async () => {
  const pixels = Uint8Array.from({ length: 3 * 5 * 4 }, (_, i) => (i % 4 === 3 ? 255 : Math.floor(random() * 256)));
  const source: ImageSource = {
    name: 'odd',
    length: 1,
    images: 1,
    load: async () => ({ width: 3, height: 5, pixels }),
  };
  const at = (x: number, y: number, c: number) => pixels[(Math.min(y, 4) * 3 + Math.min(x, 2)) * 4 + c];
  const mean = (x: number, y: number, c: number) =>
    (at(2 * x, 2 * y, c) + at(2 * x + 1, 2 * y, c) + at(2 * x, 2 * y + 1, c) + at(2 * x + 1, 2 * y + 1, c)) / 4;
  const half = await reduced(source, 1).load(0, 0); // 3 x 5, then 2 x 3, then 1 x 2
  assert.equal([half.width, half.height], [1, 2]);
  assert.equal([...reduced({ ...source, sizes: Uint32Array.of(3, 5) }, 1).sizes!], [1, 2]);
  const once = halve({ width: 3, height: 5, pixels });
  assert.equal([once.width, once.height], [2, 3]);
  for (let y = 0; y < 3; y++)
    for (let x = 0; x < 2; x++)
      for (let c = 0; c < 4; c++)
        assert.ok(Math.abs(once.pixels[(y * 2 + x) * 4 + c] - mean(x, y, c)) <= 0.5, `${x}, ${y}, ${c}`);
  const same = await reduced(source, 2).load(0, 0);
  assert.is(same.pixels, pixels);
});

test.run();
