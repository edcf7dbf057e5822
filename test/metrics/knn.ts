import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NonFiniteError, ShapeError } from '../../src/errors.js';
import { deviceKnn, knn } from '../../src/metrics/knn.js';
import type { Device } from '../../src/runtime/device.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

interface Case {
  features: number;
  k: number;
  bank: number[][];
  bankLabels: number[];
  queries: number[][];
  queryLabels: number[];
}

/** The definition, in float64 and by a full sort. */
function reference({ k, bank, bankLabels, queries }: Case): number[] {
  const unit = (row: number[]) => row.map((v) => v / Math.hypot(...row));
  return queries.map((query) => {
    const q = unit(query);
    const near = bank
      .map((row, i) => ({ label: bankLabels[i], s: unit(row).reduce((sum, v, f) => sum + v * q[f], 0) }))
      .sort((a, b) => b.s - a.s)
      .slice(0, k);
    const votes = new Map<number, number>();
    for (const { label, s } of near) votes.set(label, (votes.get(label) ?? 0) + Math.exp(s / 0.07));
    return [...votes].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0][0];
  });
}

// Offsets of +3 keep the means away from zero; 21-bit values keep ties out.
const cases: fc.Arbitrary<Case> = fc
  .record({
    features: fc.integer({ min: 2, max: 9 }),
    rows: fc.integer({ min: 1, max: 40 }),
    n: fc.integer({ min: 1, max: 9 }),
  })
  .chain(({ features, rows, n }) => {
    const row = fc.array(
      fc.integer({ min: -(1 << 20), max: 1 << 20 }).map((v) => v / (1 << 19) + 3),
      { minLength: features, maxLength: features },
    );
    const label = fc.integer({ min: 0, max: 4 });
    return fc.record({
      features: fc.constant(features),
      k: fc.integer({ min: 1, max: 25 }),
      bank: fc.array(row, { minLength: rows, maxLength: rows }),
      bankLabels: fc.array(label, { minLength: rows, maxLength: rows }),
      queries: fc.array(row, { minLength: n, maxLength: n }),
      queryLabels: fc.array(label, { minLength: n, maxLength: n }),
    });
  });

test('knn votes as its definition does, for any embeddings', () => {
  let trials = 0;
  let agree = 0;
  fc.assert(
    fc.property(cases, (c) => {
      const expected = reference(c);
      const { predictions, accuracy } = knn(
        { data: Float32Array.from(c.bank.flat()), labels: c.bankLabels },
        { data: Float32Array.from(c.queries.flat()), labels: c.queryLabels },
        c.features,
        { k: c.k },
      );
      const right = predictions.reduce((sum, label, i) => sum + (label === c.queryLabels[i] ? 1 : 0), 0);
      assert.is(accuracy, right / c.queries.length);
      trials += expected.length;
      agree += expected.filter((label, i) => label === predictions[i]).length;
    }),
    { numRuns: 200, seed },
  );
  // Neighbors within float32 of each other may trade places.
  assert.ok(agree >= trials - 2, `only ${agree} of ${trials} agree with the float64 reference`);
});

test('knn weighs votes: one close neighbor outvotes two far ones', () => {
  const bank = { data: Float32Array.of(1, 0.01, 0, 1, 0.1, 1), labels: [2, 1, 1] };
  const { predictions, accuracy } = knn(bank, { data: Float32Array.of(1, 0), labels: [2] }, 2, { k: 3 });
  assert.equal([...predictions], [2]);
  assert.is(accuracy, 1);
});

test('knn ignores length and takes the k nearest only', () => {
  const bank = { data: Float32Array.of(100, 0, 0.001, 0, 0, 5, 0, 5, 0, 5), labels: [0, 0, 1, 1, 1] };
  assert.equal(
    [...knn(bank, { data: Float32Array.of(2, 0.1), labels: [0] }, 2, { k: 2, temperature: 1e6 }).predictions],
    [0],
  );
  assert.equal(
    [...knn(bank, { data: Float32Array.of(2, 0.1), labels: [0] }, 2, { k: 5, temperature: 1e6 }).predictions],
    [1],
  );
});

test('knn refuses what does not fit', () => {
  const good = { data: Float32Array.of(1, 2, 3, 4), labels: [0, 1] };
  assert.throws(
    () => knn({ ...good, labels: [0] }, good, 2),
    (e: Error) => e instanceof ShapeError && /got 1 labels/.test(e.message),
  );
  assert.throws(
    () => knn(good, good, 3),
    (e: Error) => e instanceof ShapeError && /N x 3/.test(e.message),
  );
  assert.throws(
    () => knn(good, { ...good, labels: [0, -1] }, 2),
    (e: Error) => e instanceof ShapeError && /-1 at 1/.test(e.message),
  );
  assert.throws(
    () => knn(good, good, 2, { k: 0 }),
    (e: Error) => e instanceof ShapeError && /got 0/.test(e.message),
  );
  for (const temperature of [0, -1, Number.NaN])
    assert.throws(
      () => knn(good, good, 2, { temperature }),
      (e: Error) => e instanceof ShapeError && /expected a temperature above 0, got/.test(e.message),
    );
  const bad = { data: Float32Array.of(1, 2, Number.NaN, 4), labels: [0, 1] };
  assert.throws(
    () => knn(good, bad, 2),
    (e: Error) => e instanceof NonFiniteError && /queries: row 1 of 2/.test(e.message),
  );
});

test('on a device the votes are the same, in one block or in many, and all memory is given back', async () => {
  const random = generator();
  for (const [M, N, F, k, block] of [
    [150, 70, 9, 20, 2 ** 26],
    [150, 70, 9, 20, 9 * 4 * 37],
    [64, 64, 33, 5, 33 * 4],
    [3, 1, 1, 20, 1],
  ]) {
    const rows = (n: number) => ({
      data: randoms(random, n * F, 0.3),
      labels: Array.from({ length: n }, () => Math.floor(4 * random())),
    });
    const [bank, queries] = [rows(M), rows(N)];
    const before = device.allocated;
    const found = await deviceKnn(device, bank, queries, F, { k, block });
    assert.is(device.allocated, before);
    const expected = knn(bank, queries, F, { k });
    const differ = found.predictions.filter((label, n) => label !== expected.predictions[n]).length;
    // Neighbors within f32 of each other may trade places.
    assert.ok(differ <= 1, `${differ} of ${N} differ (seed ${seed})`);
    const right = found.predictions.reduce((sum, label, n) => sum + (label === queries.labels[n] ? 1 : 0), 0);
    assert.is(found.accuracy, right / N);
  }
  const good = { data: Float32Array.of(1, 2, 3, 4), labels: [0, 1] };
  const twice = await deviceKnn(device, good, good, 2, { k: 1 });
  assert.equal([...twice.predictions], [0, 1]);
  await rejects(() => deviceKnn(device, { ...good, labels: [0] }, good, 2), ShapeError, /got 1 labels/);
});

test.run();
