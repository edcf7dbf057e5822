import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NonFiniteError, ShapeError } from '../../src/errors.js';
import { fitWhitening, whiten } from '../../src/metrics/whitening.js';
import { generator, randoms } from '../random.js';

const random = generator();

/** Rows whose features are correlated and of unlike scales. */
function correlated(rows: number, features: number): Float32Array {
  const [from, noise] = [randoms(random, rows * features), randoms(random, rows * features, 2, 1)];
  return from.map((value, i) => value * (1 + (i % features)) + (i % features > 0 ? from[i - 1] : 0) + 0.1 * noise[i]);
}

/** The covariance of rows, biased, and their mean: by the definition. */
function moments(data: Float32Array, features: number): { mean: number[]; covariance: number[][] } {
  const rows = data.length / features;
  const at = (n: number, f: number) => data[n * features + f];
  const average = (of: (n: number) => number) =>
    Array.from({ length: rows }, (_, n) => of(n)).reduce((a, b) => a + b) / rows;
  const mean = Array.from({ length: features }, (_, f) => average((n) => at(n, f)));
  const covariance = mean.map((a, f) => mean.map((b, k) => average((n) => (at(n, f) - a) * (at(n, k) - b))));
  return { mean, covariance };
}

/** x with A x = b, by elimination with pivots. */
function solve(matrix: number[][], b: number[]): number[] {
  const rows = matrix.map((row, i) => [...row, b[i]]);
  for (let c = 0; c < rows.length; c++) {
    const pivot = rows
      .slice(c)
      .reduce((best, row, i) => (Math.abs(row[c]) > Math.abs(rows[best][c]) ? c + i : best), c);
    [rows[c], rows[pivot]] = [rows[pivot], rows[c]];
    for (const [i, row] of rows.entries())
      if (i !== c) rows[i] = row.map((value, k) => value - (rows[c][k] * row[c]) / rows[c][c]);
  }
  return rows.map((row, i) => row.at(-1)! / row[i]);
}

test('dot products of whitened rows are those of the inverse covariance, its diagonal raised', () => {
  for (const [rows, features] of [
    [50, 7],
    [9, 1],
    [5, 13], // fewer rows than features: the covariance alone has no inverse
  ]) {
    const data = correlated(rows, features);
    const other = correlated(4, features);
    const { mean, covariance } = moments(data, features);
    const ridge = (0.1 * covariance.reduce((sum, row, f) => sum + row[f], 0)) / features;
    const raised = covariance.map((row, f) => row.map((value, k) => value + (f === k ? ridge : 0)));
    const whitened = whiten(fitWhitening(data, features), other);
    const less = (n: number) => mean.map((m, f) => other[n * features + f] - m);
    for (let n = 0; n < 4; n++) {
      for (let m = 0; m < 4; m++) {
        const solved = solve(raised, less(m));
        const expected = less(n).reduce((sum, value, f) => sum + value * solved[f], 0);
        const found = mean.reduce((sum, _, f) => sum + whitened[n * features + f] * whitened[m * features + f], 0);
        const scale = mean.reduce(
          (sum, _, f) => sum + whitened[n * features + f] ** 2 + whitened[m * features + f] ** 2,
          0,
        );
        assert.ok(Math.abs(found - expected) <= 1e-5 * scale, `${rows} x ${features}: ${found}, not ${expected}`);
      }
    }
  }
});

test('with a small ridge the rows it was fitted on have unit variance and no correlation', () => {
  const data = correlated(400, 5);
  const { covariance, mean } = moments(whiten(fitWhitening(data, 5, 1e-6), data), 5);
  for (const [f, row] of covariance.entries()) {
    assert.ok(Math.abs(mean[f]) < 1e-4);
    for (const [k, value] of row.entries())
      assert.ok(Math.abs(value - (f === k ? 1 : 0)) < 1e-2, `${f},${k}: ${value}`);
  }
});

test('rows that are all alike are centered; what is no matrix or not finite is refused', () => {
  const alike = new Float32Array(12).map((_, i) => i % 3);
  assert.equal([...whiten(fitWhitening(alike, 3), new Float32Array([0, 1, 2, 1, 1, 2]))], [0, 0, 0, 1, 0, 0]);
  assert.throws(
    () => fitWhitening(new Float32Array(7), 3),
    (e: Error) => e instanceof ShapeError,
  );
  assert.throws(
    () => fitWhitening(alike, 3, 0),
    (e: Error) => e instanceof ShapeError && /ridge above 0, got 0/.test(e.message),
  );
  assert.throws(
    () => whiten(fitWhitening(alike, 3), new Float32Array(4)),
    (e: Error) => e instanceof ShapeError,
  );
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(
      () => fitWhitening(new Float32Array([1, 2, bad, 3]), 2),
      (e: Error) => e instanceof NonFiniteError,
    );
});

test.run();
