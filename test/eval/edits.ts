import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RgbaImage } from '../../src/data/source.js';
import { drawEdit, type Edit, editedCopies, editedImage, editNames } from '../../src/eval/edits.js';
import { generator } from '../random.js';

const random = generator();
const whole: Edit = {
  area: 1,
  x: 0.5,
  y: 0.5,
  angle: 0,
  mirrored: false,
  hue: 0,
  saturation: 1,
  brightness: 1,
  contrast: 1,
};

function noise(width: number, height: number): RgbaImage {
  const pixels = Uint8Array.from({ length: width * height * 4 }, (_, i) => (i % 4 === 3 ? 255 : 256 * random()));
  return { width, height, pixels };
}

/** Colors between 60 and 160 that change smoothly: no edit below clips them. */
function smooth(side: number): RgbaImage {
  const pixels = Uint8Array.from({ length: side * side * 4 }, (_, i) => {
    const [x, y, c] = [(i >> 2) % side, Math.floor((i >> 2) / side), i % 4];
    return c === 3 ? 255 : 110 + 25 * Math.sin(x / 3 + c) + 25 * Math.cos(y / 4 - c);
  });
  return { width: side, height: side, pixels };
}

const at = ({ width, pixels }: RgbaImage, x: number, y: number, c: number) => pixels[(y * width + x) * 4 + c];

/** Every channel of `found` is `expected` to within `most` levels. */
function near(found: RgbaImage, expected: (x: number, y: number, c: number) => number, most: number): void {
  for (let y = 0; y < found.height; y++)
    for (let x = 0; x < found.width; x++)
      for (let c = 0; c < 3; c++) {
        const off = Math.abs(at(found, x, y, c) - expected(x, y, c));
        assert.ok(off <= most, `(${x}, ${y}), channel ${c}: ${at(found, x, y, c)}, not ${expected(x, y, c)}`);
      }
}

/** The definition of one edited pixel in f64: colors after geometry, without clamping. */
function reference(image: RgbaImage, edit: Edit, size: number): (x: number, y: number, c: number) => number {
  const side = Math.min(image.width, image.height);
  const kept = side * Math.sqrt(edit.area);
  const n = Math.max(2, Math.ceil(kept / size));
  const middle = [image.width, image.height].map(
    (length, i) => (length - side) / 2 + kept / 2 + [edit.x, edit.y][i] * (side - kept),
  );
  const clampTo = (value: number, most: number) => Math.min(Math.max(value, 0), most);
  const sample = (px: number, py: number, c: number) => {
    const [x, y] = [clampTo(px - 0.5, image.width - 1), clampTo(py - 0.5, image.height - 1)];
    let sum = 0;
    for (const xi of [Math.floor(x), Math.floor(x) + 1])
      for (const yi of [Math.floor(y), Math.floor(y) + 1])
        sum +=
          Math.max(0, 1 - Math.abs(x - xi)) *
          Math.max(0, 1 - Math.abs(y - yi)) *
          at(image, Math.min(xi, image.width - 1), Math.min(yi, image.height - 1), c);
    return sum;
  };
  const turn = (edit.angle * Math.PI) / 180;
  return (x, y, c) => {
    let sum = 0;
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) {
        const across = ((x + (i + 0.5) / n) / size - 0.5) * kept * (edit.mirrored ? -1 : 1);
        const down = ((y + (j + 0.5) / n) / size - 0.5) * kept;
        sum += sample(
          middle[0] + across * Math.cos(turn) - down * Math.sin(turn),
          middle[1] + across * Math.sin(turn) + down * Math.cos(turn),
          c,
        );
      }
    return sum / n ** 2;
  };
}

test('geometry: crop, rotation and mirror are those of the definition, on sides that are not alike too', () => {
  for (const [width, height, size] of [
    [12, 12, 5],
    [21, 9, 7],
    [7, 30, 9],
  ]) {
    const image = noise(width, height);
    const edit = { ...whole, area: 0.5 + random() / 2, x: random(), y: random(), angle: 60 * random() - 30 };
    for (const mirrored of [false, true])
      near(editedImage(image, { ...edit, mirrored }, size), reference(image, { ...edit, mirrored }, size), 0.5 + 1e-6);
  }
});

test('half the size is the mean of 2 x 2 pixels; a quarter turn and a mirror move pixels', () => {
  const image = noise(8, 8);
  const mean = (x: number, y: number, c: number) =>
    [0, 1].flatMap((i) => [0, 1].map((j) => at(image, 2 * x + i, 2 * y + j, c))).reduce((a, b) => a + b) / 4;
  near(editedImage(image, whole, 4), mean, 0.5);
  near(editedImage(image, { ...whole, mirrored: true }, 4), (x, y, c) => mean(3 - x, y, c), 0.5);
  near(editedImage(image, { ...whole, angle: 90 }, 4), (x, y, c) => mean(3 - y, x, c), 0.5 + 1e-6);
});

test('colors: brightness scales, contrast keeps the mean luminance, saturation 0 is gray, a third of a turn moves channels', () => {
  const image = smooth(8);
  const plain = editedImage(image, whole, 8);
  const luminance = (x: number, y: number) =>
    0.299 * at(plain, x, y, 0) + 0.587 * at(plain, x, y, 1) + 0.114 * at(plain, x, y, 2);
  const cells = Array.from({ length: 64 }, (_, i) => luminance(i % 8, i >> 3));
  const mean = cells.reduce((a, b) => a + b) / 64;
  near(editedImage(image, { ...whole, brightness: 1.3 }, 8), (x, y, c) => 1.3 * at(plain, x, y, c), 1.5);
  near(editedImage(image, { ...whole, contrast: 0.7 }, 8), (x, y, c) => mean + 0.7 * (at(plain, x, y, c) - mean), 1.5);
  near(editedImage(image, { ...whole, saturation: 0 }, 8), luminance, 1.5);
  near(editedImage(image, { ...whole, hue: 1 / 3 }, 8), (x, y, c) => at(plain, x, y, (c + 2) % 3), 1.5);
  assert.ok(
    editedImage(image, { ...whole, brightness: 9 }, 8).pixels.every((value) => value === 255),
    'clamped',
  );
});

test('draws: within their ranges, only what the edit is named for, the same for the same seed', () => {
  const seen = { least: Number.POSITIVE_INFINITY, most: 0 };
  for (let item = 0; item < 400; item++) {
    const { angle, area, hue, mirrored } = drawEdit('combinedMirrored', 7, item);
    assert.ok(Math.abs(angle) <= 30 && area >= 0.5 && area <= 1 && Math.abs(hue) <= 0.05 && mirrored);
    seen.least = Math.min(seen.least, area);
    seen.most = Math.max(seen.most, area);
  }
  assert.ok(seen.least < 0.55 && seen.most > 0.95, 'the whole range is drawn');
  const { area, x, y } = drawEdit('crop', 7, 3);
  assert.equal(drawEdit('crop', 7, 3), { ...whole, area, x, y });
  assert.equal(drawEdit('mirror', 7, 3), { ...whole, mirrored: true });
  for (const name of editNames.filter((name) => name !== 'mirror'))
    assert.not.equal(drawEdit(name, 7, 3), drawEdit(name, 8, 3), `${name}: another seed, another draw`);
});

test('a source of copies has one for each image, and refuses others', async () => {
  const images = [noise(6, 6), noise(9, 5)];
  const source = { name: 'two', length: 2, images: 1 as const, load: async (item: number) => images[item] };
  const copies = editedCopies(source, 'combined', { size: 4, seed: 1 });
  assert.equal(await copies.load(1, 0), editedImage(images[1], drawEdit('combined', 1, 1), 4));
  assert.is(copies.length, 2);
  const error = await copies.load(2, 0).catch((e: Error) => e);
  assert.match((error as Error).message, 'two, combined: expected an item from 0 to 1, got 2');
});

test.run();
