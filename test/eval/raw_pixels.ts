import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { planarSource } from '../../src/data/derived.js';
import { rawPixels, shrink } from '../../src/eval/raw_pixels.js';
import { generator, seed } from '../random.js';

const random = generator();

function image(width: number, height: number) {
  const pixels = Uint8Array.from({ length: width * height * 4 }, () => Math.floor(random() * 256));
  return { width, height, pixels };
}

test('shrink averages areas: whole cells, cells that cut pixels, and enlarging', () => {
  for (const [width, height, size] of [
    [8, 8, 4],
    [9, 7, 4],
    [64, 64, 32],
    [5, 3, 8],
    [4, 4, 4],
  ]) {
    const from = image(width, height);
    const small = shrink(from, size);
    // In f64, by sampling both axes so finely that every sample lies in one pixel and one cell.
    for (let c = 0; c < 3; c++) {
      for (let cell = 0; cell < size * size; cell++) {
        let sum = 0;
        for (let v = 0; v < height; v++) {
          for (let u = 0; u < width; u++) {
            const x = Math.floor(((cell % size) * width + u) / size);
            const y = Math.floor((Math.floor(cell / size) * height + v) / size);
            sum += from.pixels[(y * width + x) * 4 + c];
          }
        }
        const expected = sum / (width * height * 255);
        const got = small[c * size * size + cell];
        assert.ok(
          Math.abs(got - expected) < 1e-6,
          `${width}x${height} to ${size}: ${got}, not ${expected} (seed ${seed})`,
        );
      }
    }
  }
});

test('raw pixels are shrunk images less their mean', async () => {
  const planes = Array.from({ length: 5 }, () => Uint8Array.from({ length: 36 }, () => Math.floor(random() * 256)));
  const rows = await rawPixels(planarSource({ name: 'noise', width: 6, height: 6 }, 1, planes), 6);
  for (let f = 0; f < 108; f++) {
    const mean = planes.reduce((sum, plane) => sum + plane[f % 36] / 255, 0) / 5;
    planes.forEach((plane, n) => {
      assert.ok(
        Math.abs(rows[n * 108 + f] - (plane[f % 36] / 255 - mean)) < 1e-6,
        `item ${n}, value ${f} (seed ${seed})`,
      );
    });
  }
});

test.run();
