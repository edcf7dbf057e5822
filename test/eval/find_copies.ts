import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { NonFiniteError, ShapeError } from '../../src/errors.js';
import { colorHistograms, differenceHashes } from '../../src/eval/classical_features.js';
import { findCopies } from '../../src/eval/find_copies.js';
import { openTestDevice } from '../device.js';
import { generator, randoms } from '../random.js';

const random = generator();

/** By the definition in f64: cosines of rows less the gallery's mean. */
function reference(gallery: Float32Array, copies: Float32Array, features: number, centered: boolean) {
  const row = (data: Float32Array, n: number) => [...data.subarray(n * features, (n + 1) * features)];
  const rows = Array.from({ length: gallery.length / features }, (_, n) => row(gallery, n));
  const mean = rows[0].map((_, f) => (centered ? rows.reduce((sum, r) => sum + r[f], 0) / rows.length : 0));
  const unit = (r: number[]) => {
    const less = r.map((value, f) => value - mean[f]);
    return less.map((value) => value / Math.hypot(...less));
  };
  const bank = rows.map(unit);
  const cosines = rows.map((_, n) => {
    const query = unit(row(copies, n));
    return bank.map((r) => r.reduce((sum, value, f) => sum + value * query[f], 0));
  });
  const nearest = cosines.map((row) => row.map((_, i) => i).sort((i, j) => row[j] - row[i]));
  return { top1: nearest.filter((order, n) => order[0] === n).length / rows.length, nearest };
}

test('finds what the definition finds, on the CPU and on a device', async () => {
  const device = await openTestDevice();
  for (const [rows, features, center] of [
    [37, 5, true],
    [12, 9, false],
    [130, 3, true],
  ] as const) {
    const gallery = randoms(random, rows * features, 0.7);
    const noise = randoms(random, rows * features, 0.2, 0.6);
    const copies = gallery.map((value, i) => value + noise[i]);
    const expected = reference(gallery, copies, features, center);
    for (const on of [{}, { device }]) {
      const found = await findCopies(gallery, copies, features, { center, count: 3, ...on });
      assert.is(found.top1, expected.top1);
      assert.equal(
        found.nearest.map((order) => [...order]),
        expected.nearest.map((order) => order.slice(0, 3)),
      );
    }
  }
  device.dispose();
});

test('an encoder that maps all to one point finds nothing; what does not fit is refused', async () => {
  const point = new Float32Array(20).fill(0.3);
  for (const center of [true, false]) assert.is((await findCopies(point, point, 4, { center })).top1, 0);
  const rows = randoms(random, 20);
  assert.is((await findCopies(rows, rows, 4)).top1, 1);
  assert.equal((await findCopies(rows.subarray(0, 4), rows.subarray(0, 4), 4, { center: false })).nearest, [
    new Int32Array([0]),
  ]);
  const failed = async (run: Promise<unknown>) =>
    run.then(
      () => assert.unreachable(),
      (error: Error) => error,
    );
  assert.instance(await failed(findCopies(rows, rows.subarray(4), 4)), ShapeError);
  assert.instance(
    await failed(
      findCopies(
        rows,
        rows.map((v, i) => (i === 7 ? Number.NaN : v)),
        4,
      ),
    ),
    NonFiniteError,
  );
});

function imagesOf(...images: RgbaImage[]): ImageSource {
  return { name: 'made up', length: images.length, images: 1, load: async (item) => images[item] };
}

function drawn(width: number, height: number, color: (x: number, y: number) => readonly number[]): RgbaImage {
  const pixels = Uint8Array.from(
    Array.from({ length: width * height }, (_, i) => [...color(i % width, Math.floor(i / width)), 255]).flat(),
  );
  return { width, height, pixels };
}

test('a color histogram holds square roots of shares: 64 boxes, four levels a channel', async () => {
  const rows = await colorHistograms(imagesOf(drawn(4, 2, (x) => (x === 0 ? [255, 0, 70] : [63, 128, 191]))));
  const expected = new Float32Array(64);
  expected[(3 << 4) | 1] = Math.sqrt(2 / 8);
  expected[(2 << 2) | 2] = Math.sqrt(6 / 8);
  assert.equal(rows.length, 64);
  for (const [bin, value] of rows.entries()) assert.ok(Math.abs(value - expected[bin]) < 1e-6, `bin ${bin}: ${value}`);
});

test('a difference hash compares neighboring cells of mean gray', async () => {
  const rising = drawn(18, 8, (x) => [9 * x, 9 * x, 9 * x]);
  const zigzag = drawn(9, 16, (x, y) => (x % 2 === (y < 8 ? 0 : 1) ? [200, 0, 0] : [0, 0, 0]));
  const rows = await differenceHashes(imagesOf(rising, zigzag));
  assert.equal([...rows.subarray(0, 64)], Array(64).fill(1));
  for (let y = 0; y < 8; y++)
    for (let x = 0; x < 8; x++) assert.is(rows[64 + y * 8 + x], x % 2 === (y < 4 ? 1 : 0) ? 1 : -1, `${x}, ${y}`);
});

test.run();
