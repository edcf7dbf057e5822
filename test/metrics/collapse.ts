import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NonFiniteError } from '../../src/errors.js';
import { collapse, symmetricEigenvalues } from '../../src/metrics/collapse.js';
import { seed } from '../random.js';

const near = (got: number, expected: number, tolerance: number, what: string) =>
  assert.ok(Math.abs(got - expected) <= tolerance, `${what}: expected ${expected}, got ${got}`);

test('symmetricEigenvalues finds the eigenvalues of Q diag(d) Q^T for any d and Q', () => {
  const value = fc.integer({ min: -1000, max: 1000 }).map((v) => v / 100);
  const inputs = fc.integer({ min: 1, max: 12 }).chain((n) =>
    fc.record({
      d: fc.array(value, { minLength: n, maxLength: n }),
      mirrors: fc.array(fc.array(value, { minLength: n, maxLength: n }), { minLength: 1, maxLength: 4 }),
    }),
  );
  fc.assert(
    fc.property(inputs, ({ d, mirrors }) => {
      const n = d.length;
      let matrix = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? d[i] : 0)));
      for (const v of mirrors) {
        const square = v.reduce((s, x) => s + x * x, 0) || 1;
        const h = v.map((x, i) => v.map((y, j) => (i === j ? 1 : 0) - (2 * x * y) / square));
        const times = (a: number[][], b: number[][]) =>
          a.map((row) => b[0].map((_, j) => row.reduce((s, x, k) => s + x * b[k][j], 0)));
        matrix = times(times(h, matrix), h);
      }
      const found = symmetricEigenvalues(Float64Array.from(matrix.flat()), n).sort();
      const expected = Float64Array.from(d).sort();
      for (let i = 0; i < n; i++) near(found[i], expected[i], 1e-10, `eigenvalue ${i} of ${n}`);
    }),
    { numRuns: 300, seed },
  );
});

test('effective rank is 1 along a line, and the number of directions where they are even', () => {
  const line = Float32Array.from({ length: 300 }, (_, i) => (1 + (i % 3)) * Math.floor(i / 3) + 7);
  near(collapse(line, 3).effectiveRank, 1, 1e-4, 'line');
  // +-1 along each of 5 axes in turn, off the origin: five equal eigenvalues.
  const axes = new Float32Array(10 * 8).fill(2);
  for (let n = 0; n < 10; n++) axes[n * 8 + (n >> 1)] += n % 2 === 0 ? 1 : -1;
  const wide = collapse(axes, 8);
  near(wide.effectiveRank, 5, 1e-9, 'five axes');
  near(wide.std[0], Math.sqrt(2 / 10), 1e-6, 'std of a used axis');
  assert.is(wide.std[7], 0);
  near(wide.meanStd, (5 * Math.sqrt(2 / 10)) / 8, 1e-6, 'mean std');
});

test('the covariance and the Gram form agree', () => {
  const data = Float32Array.from({ length: 6 * 9 }, (_, i) => Math.sin(i * 1.7 + i * i) + 2);
  const padded = new Float32Array(6 * 4 * 9);
  // Repeating every row leaves the covariance as it is, and takes N past F.
  for (let copy = 0; copy < 4; copy++) padded.set(data, copy * data.length);
  near(collapse(data, 9).effectiveRank, collapse(padded, 9).effectiveRank, 1e-9, 'effective rank');
});

test('constant embeddings have rank 0, and a NaN is refused', () => {
  assert.is(collapse(new Float32Array(12).fill(3), 4).effectiveRank, 0);
  const bad = Float32Array.of(1, 2, Number.NaN, 4);
  assert.throws(
    () => collapse(bad, 2),
    (e: Error) => e instanceof NonFiniteError,
  );
});

test.run();
