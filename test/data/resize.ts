import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { resizeSquare, squareRegion } from '../../src/data/resize.js';
import type { RgbaImage } from '../../src/data/source.js';
import { ConfigError } from '../../src/errors.js';
import { readSafetensors } from '../../src/formats/safetensors.js';
import { generator, seed } from '../random.js';
import { rejects } from '../rejects.js';

const random = generator();
const integer = (from: number, to: number) => from + Math.floor(random() * (to - from + 1));

/** Noise, a quarter of it black and a quarter white; as in resize.py where it is drawn by `generator(0)`. */
function noise(width: number, height: number, draw = random): RgbaImage {
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let i = 0; i < pixels.length; i++) pixels[i] = i % 4 < 3 ? Math.floor(draw() * 512) - 128 : 255;
  return { width, height, pixels };
}

/** Levels of RGB, of which alpha is checked and dropped. */
function levels({ pixels }: RgbaImage): number[] {
  for (let at = 3; at < pixels.length; at += 4) assert.is(pixels[at], 255, `alpha ${at}`);
  return [...pixels].filter((_, i) => i % 4 < 3);
}

/** Sums over all pixels of a line, in f64, clamped but not rounded: no tap is left out, and none is found by rounding. */
function line(values: number[], to: number): number[] {
  const from = values.length;
  const kernel = (x: number) =>
    x < 1 ? 1.5 * x ** 3 - 2.5 * x ** 2 + 1 : x < 2 ? -0.5 * x ** 3 + 2.5 * x ** 2 - 4 * x + 2 : 0;
  return Array.from({ length: to }, (_, i) => {
    const weights = values.map((_, j) => kernel(Math.abs((j + 0.5) / from - (i + 0.5) / to) * Math.min(from, to)));
    const all = weights.reduce((a, b) => a + b, 0);
    const level = values.reduce((sum, value, j) => sum + value * weights[j], 0) / all;
    return Math.min(Math.max(level, 0), 255);
  });
}

/** The whole image resized to `across` x `down`, then cut. */
function reference({ width, height, pixels }: RgbaImage, size: number, across: number, down: number): number[] {
  const middle = (side: number) => {
    const rest = (side - size) / 2;
    return Number.isInteger(rest) ? rest : 2 * Math.round(rest / 2);
  };
  const square: number[] = [];
  for (let c = 0; c < 3; c++) {
    const rows = Array.from({ length: height }, (_, y) =>
      line(
        Array.from({ length: width }, (_, x) => pixels[(y * width + x) * 4 + c]),
        across,
      ),
    );
    const columns = rows[0].map((_, x) =>
      line(
        rows.map((row) => row[x]),
        down,
      ),
    );
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) square[(y * size + x) * 3 + c] = columns[x + middle(across)][y + middle(down)];
  }
  return square;
}

const sidesOf = ({ width, height }: { width: number; height: number }, size: number) =>
  [width, height].map((side) => Math.floor((size * side) / Math.min(width, height)));

/** Half a level of rounding between the passes, up to 1.25 times as much after the second, and half a level of its own. */
const rounding = 1.13;

function within(got: number[], expected: number[], what: string): void {
  assert.is(got.length, expected.length, what);
  const worst = Math.max(...got.map((value, i) => Math.abs(value - expected[i])));
  assert.ok(worst <= rounding, `${what}: ${worst} levels off`);
}

test('squares are those of torchvision and Pillow, bit for bit', () => {
  const { tensors } = readSafetensors(readFileSync('test/data/resize.safetensors'), 'fixture');
  assert.is(tensors.size, 32);
  for (const [name, { shape, data }] of tensors) {
    const [, width, height, bilinear, side] = /^(\d+)x(\d+)( bilinear)?(?: (\d+))?$/.exec(name) ?? [];
    const image = noise(Number(width), Number(height), generator(0));
    const square = resizeSquare(image, shape[0], undefined, undefined, {
      ...(bilinear && { interpolation: 'bilinear' }),
      ...(side && { resize: Number(side) }),
    });
    assert.equal([square.width, square.height, square.pixels.length], [shape[0], shape[1], shape[0] * shape[1] * 4]);
    assert.equal(levels(square), [...(data as Uint8Array)], name);
  }
});

test('squares of random sizes are those of sums in f64', () => {
  for (let i = 0; i < 60; i++) {
    const image = noise(integer(1, 40), integer(1, 40));
    const size = integer(1, 24);
    const [across, down] = sidesOf(image, size);
    const what = `${image.width}x${image.height} to ${size} (seed ${seed})`;
    within(levels(resizeSquare(image, size)), reference(image, size, across, down), what);
  }
});

test("a reduced copy lands where the original's sides say", () => {
  for (let i = 0; i < 30; i++) {
    const full = { width: integer(50, 300), height: integer(50, 300) };
    const size = integer(4, 16);
    const copy = noise(Math.round(full.width / 7) + integer(0, 1), Math.round(full.height / 7) + integer(0, 1));
    const [across, down] = sidesOf(full, size);
    const what = `${copy.width}x${copy.height} of ${full.width}x${full.height} to ${size} (seed ${seed})`;
    within(levels(resizeSquare(copy, size, full)), reference(copy, size, across, down), what);
  }
});

test('an image of the wanted size is given back as it is, unless it is a copy of one that is no square', () => {
  const image = noise(12, 12);
  assert.is(resizeSquare(image, 12), image);
  assert.is(resizeSquare(image, 12, { width: 60, height: 60 }), image);
  const wide = resizeSquare(image, 12, { width: 24, height: 12 });
  within(levels(wide), reference(image, 12, 24, 12), `seed ${seed}`);
});

test('the middle of a very long image is found without the rest of it', () => {
  for (const [width, height] of [
    [60001, 3],
    [3, 60001],
  ]) {
    const pixels = new Uint8Array(width * height * 4).fill(90);
    const at = ((height >> 1) * width + (width >> 1)) * 4;
    pixels.fill(0, at, at + 4);
    const square = levels(resizeSquare({ width, height, pixels }, 3));
    assert.equal(square.slice(0, 3), [90, 90, 90]);
    assert.equal(square.slice(12, 15), [0, 0, 0]);
  }
});

test('the region that the square needs is enough', () => {
  for (let i = 0; i < 30; i++) {
    const full = { width: integer(1, 300), height: integer(1, 300) };
    const copy = i % 2 ? full : { width: Math.ceil(full.width / 3), height: Math.ceil(full.height / 3) };
    const image = noise(copy.width, copy.height);
    const size = integer(1, 16);
    const interpolation = i % 3 ? 'bicubic' : 'bilinear';
    const options = { interpolation, resize: size + integer(0, 5) } as const;
    const region = squareRegion(copy, size, full, options);
    const { left, top, width, height } = region;
    assert.ok(left >= 0 && top >= 0 && left + width <= copy.width && top + height <= copy.height, `seed ${seed}`);
    const rows = Array.from({ length: height }, (_, y) => ((top + y) * copy.width + left) * 4);
    const pixels = Uint8Array.from(rows.flatMap((at) => [...image.pixels.subarray(at, at + width * 4)]));
    const square = resizeSquare({ width, height, pixels }, size, full, { ...copy, left, top }, options);
    const whole = resizeSquare(image, size, full, undefined, options);
    assert.equal([...square.pixels], [...whole.pixels], `seed ${seed}`);
  }
  const { width, height } = squareRegion({ width: 3000, height: 100 }, 50);
  assert.ok(width < 110 && height === 100, `${width}x${height}`);
});

test('sizes that are no whole number of pixels are refused', async () => {
  for (const size of [0, -1, 1.5, Number.NaN])
    await rejects(() => resizeSquare(noise(2, 2), size), ConfigError, /expected a whole number of pixels/);
  const made = (options: object) => () => resizeSquare(noise(2, 2), 8, undefined, undefined, options);
  for (const resize of [7, 8.5, Number.NaN, 1e9])
    await rejects(
      made({ resize }),
      ConfigError,
      /^resize: expected whole pixels from 8, the side that is cut out, to 4096, got/,
    );
  await rejects(
    made({ interpolation: 'lanczos' }),
    ConfigError,
    /^interpolation: expected bicubic or bilinear, got lanczos/,
  );
});

test.run();
