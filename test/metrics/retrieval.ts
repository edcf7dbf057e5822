import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NonFiniteError, ShapeError } from '../../src/errors.js';
import { retrieval } from '../../src/metrics/retrieval.js';
import { seed } from '../random.js';

const sets = fc
  .record({ features: fc.integer({ min: 2, max: 8 }), count: fc.integer({ min: 2, max: 24 }) })
  .chain(({ features, count }) => {
    const values = fc.array(
      fc.integer({ min: -(1 << 20), max: 1 << 20 }).map((v) => v / (1 << 19) + 2),
      {
        minLength: features * count,
        maxLength: features * count,
      },
    );
    return fc.record({ features: fc.constant(features), count: fc.constant(count), a: values, b: values });
  });

/** The definition, in float64: the rank of each twin among all candidates. */
function ranks(a: number[], b: number[], features: number): number[] {
  const centered = (flat: number[]) => {
    const rows = Array.from({ length: flat.length / features }, (_, n) => flat.slice(n * features, (n + 1) * features));
    const mean = rows[0].map((_, f) => rows.reduce((sum, row) => sum + row[f], 0) / rows.length);
    return rows.map((row) => row.map((v, f) => v - mean[f]));
  };
  const cosine = (p: number[], q: number[]) =>
    p.reduce((s, v, f) => s + v * q[f], 0) / (Math.hypot(...p) * Math.hypot(...q));
  const [left, right] = [centered(a), centered(b)];
  return left.map((p, i) => right.filter((q, j) => j !== i && cosine(p, q) >= cosine(p, right[i])).length);
}

test('retrieval counts twins as its definition does, and a shift of either set changes nothing', () => {
  let trials = 0;
  let agree = 0;
  fc.assert(
    fc.property(sets, ({ features, count, a, b }) => {
      const expected = ranks(a, b, features);
      const found = retrieval(Float32Array.from(a), Float32Array.from(b), features);
      const shifted = retrieval(
        Float32Array.from(a),
        Float32Array.from(b, (v, i) => v + 4 * (i % features)),
        features,
      );
      assert.is(found.count, count);
      assert.ok(found.top1 <= found.top5);
      trials += 2;
      agree += found.top1 === expected.filter((r) => r === 0).length / count ? 1 : 0;
      agree += shifted.top5 === expected.filter((r) => r < 5).length / count ? 1 : 0;
    }),
    { numRuns: 200, seed },
  );
  // A near tie may fall either way in float32.
  assert.ok(agree >= trials - 4, `only ${agree} of ${trials} agree with the float64 reference`);
});

test('retrieval of a set from itself is perfect; from a reversed set it is not', () => {
  const data = Float32Array.from({ length: 40 }, (_, i) => Math.sin(i * i) + 3);
  assert.equal(retrieval(data, data, 4), { top1: 1, top5: 1, count: 10 });
  const rows = Array.from({ length: 10 }, (_, n) => [...data.slice(n * 4, n * 4 + 4)]).reverse();
  assert.is(retrieval(data, Float32Array.from(rows.flat()), 4).top1, 0);
});

test('a collapsed encoder scores nothing', () => {
  const same = new Float32Array(60).fill(1.5);
  assert.equal(retrieval(same, same, 6), { top1: 0, top5: 0, count: 10 });
});

test('retrieval refuses what does not fit', () => {
  const data = Float32Array.of(1, 2, 3, 4);
  assert.throws(
    () => retrieval(data, data.slice(2), 2),
    (e: Error) => e instanceof ShapeError && /2 queries, got 1/.test(e.message),
  );
  assert.throws(
    () => retrieval(data, Float32Array.of(1, 2, 3, Number.POSITIVE_INFINITY), 2),
    (e: Error) => e instanceof NonFiniteError,
  );
});

test.run();
