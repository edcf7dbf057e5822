// Principal components of embeddings.
import { NonFiniteError, ShapeError } from '../errors.js';
import { rowsOf } from './rows.js';

/** Principal components of N rows. */
export interface Pca {
  /** Unit vectors (k, F), by falling variance; the entry of largest magnitude is positive. Zeros where no variance is left. */
  components: Float64Array;
  /** The variance along each, (k); biased, over N. */
  variances: Float64Array;
  /** The rows, less their mean, on the components: (N, k). */
  projected: Float64Array;
}

const rounds = 1000;

/**
 * The first k principal components of `data` (N, F), by power iteration in f64: v ← XᵀXv, kept at right angles to the
 * components before it. Two that have about the same variance may come out as a mixture of both.
 *
 * @throws ShapeError when sizes do not fit; NonFiniteError when a row holds a NaN or infinity
 */
export function pca(data: Float32Array, features: number, k = 2): Pca {
  const rows = rowsOf('pca', data, features);
  if (!(Number.isInteger(k) && k >= 1))
    throw new ShapeError(`pca: expected a whole number of components of at least 1, got ${k}`);
  const mean = new Float64Array(features);
  for (let i = 0; i < data.length; i++) mean[i % features] += data[i] / rows;
  const centered = Float64Array.from(data, (value, i) => value - mean[i % features]);
  const total = data.reduce((sum, value) => sum + value ** 2, 0);
  if (!Number.isFinite(total))
    throw new NonFiniteError('pca: the rows hold a NaN or infinity; they have no components');

  const found: Float64Array[] = [];
  const variances = new Float64Array(k);
  const projected = new Float64Array(rows * k);
  for (let c = 0; c < k; c++) {
    // Any start will do that is not at right angles to the component: no row of data is regular in this way.
    let v = unitBeside(
      Float64Array.from({ length: features }, (_, f) => Math.cos((f + 1) ** 2)),
      found,
    );
    for (let round = 0; round < rounds; round++) {
      const next = unitBeside(transposedTimes(centered, times(centered, v, rows), features), found);
      const turned = next.reduce((most, value, f) => Math.max(most, Math.abs(value - v[f])), 0);
      v = next;
      if (turned < 1e-13) break;
    }
    const along = times(centered, v, rows);
    const variance = dot(along, along) / rows;
    // What the rounding of means leaves is no component: f32 rows that differ do so by far more.
    if (variance * rows <= 1e-24 * total) v = new Float64Array(features);
    const sign = v.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0) < 0 ? -1 : 1;
    found.push(v.map((value) => value * sign));
    if (!v.some((value) => value !== 0)) continue;
    variances[c] = variance;
    for (let n = 0; n < rows; n++) projected[n * k + c] = along[n] * sign;
  }
  const components = new Float64Array(k * features);
  found.forEach((v, c) => {
    components.set(v, c * features);
  });
  return { components, variances, projected };
}

/** X v, (N). */
function times(x: Float64Array, v: Float64Array, rows: number): Float64Array {
  const features = v.length;
  const out = new Float64Array(rows);
  for (let n = 0; n < rows; n++) {
    let sum = 0;
    for (let f = 0; f < features; f++) sum += x[n * features + f] * v[f];
    out[n] = sum;
  }
  return out;
}

/** Xᵀ u, (F). */
function transposedTimes(x: Float64Array, u: Float64Array, features: number): Float64Array {
  const out = new Float64Array(features);
  for (let n = 0; n < u.length; n++) for (let f = 0; f < features; f++) out[f] += x[n * features + f] * u[n];
  return out;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** `v` less its part along each of `others`, at length 1; zeros stay zero. Taken off twice, for rounding. */
function unitBeside(v: Float64Array, others: readonly Float64Array[]): Float64Array {
  for (const other of [...others, ...others]) {
    const part = dot(v, other);
    for (let f = 0; f < v.length; f++) v[f] -= part * other[f];
  }
  const length = Math.sqrt(dot(v, v));
  return length > 0 ? v.map((value) => value / length) : v;
}
