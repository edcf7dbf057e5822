// Matrices of embeddings on the CPU, row by row.
import { NonFiniteError, ShapeError } from '../errors.js';

/** Rows of (N, F) `data` scaled to length 1, as a copy; zeros stay zero. `center` removes the mean over the rows first. */
export function l2NormalizedRows(what: string, data: Float32Array, features: number, center = false): Float32Array {
  rowsOf(what, data, features);
  return l2NormalizedFrom(what, data, center ? rowMean(data, features) : new Float64Array(features));
}

/** The mean over the rows of (N, F) `data`, (F). */
export function rowMean(data: Float32Array, features: number): Float64Array {
  const mean = new Float64Array(features);
  for (let i = 0; i < data.length; i++) mean[i % features] += data[i];
  return mean.map((sum) => sum / (data.length / features));
}

/** Rows of (N, F) `data` less `mean` (F), scaled to length 1, as a copy; zeros stay zero. */
export function l2NormalizedFrom(what: string, data: Float32Array, mean: Float64Array): Float32Array {
  const features = mean.length;
  const rows = rowsOf(what, data, features);
  const unit = new Float32Array(data.length);
  for (let n = 0; n < rows; n++) {
    const start = n * features;
    let square = 0;
    for (let f = 0; f < features; f++) square += (data[start + f] - mean[f]) ** 2;
    if (!Number.isFinite(square)) {
      throw new NonFiniteError(`${what}: row ${n} of ${rows} holds a NaN or infinity; embeddings must be finite`);
    }
    const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let f = 0; f < features; f++) unit[start + f] = (data[start + f] - mean[f]) * scale;
  }
  return unit;
}

/** Number of rows of (N, F) `data`. Throws ShapeError when its length is no multiple of F, or when it is empty. */
export function rowsOf(what: string, data: Float32Array, features: number): number {
  if (!Number.isInteger(features) || features < 1) {
    throw new ShapeError(`${what}: expected a whole number of features of at least 1, got ${features}`);
  }
  if (data.length === 0 || data.length % features !== 0) {
    throw new ShapeError(`${what}: expected N x ${features} values with N of at least 1, got ${data.length} values`);
  }
  return data.length / features;
}

/**
 * Dot products of rows `first` to `first + 3` of `a` (past its end, of its last row) with all rows of `b`, into `out`
 * (4, rows of b). Eight at once: each value that is loaded serves four or two of them.
 */
export function fourDots(a: Float32Array, first: number, b: Float32Array, features: number, out: Float64Array): void {
  const rows = b.length / features;
  const last = a.length / features - 1;
  const [a0, a1, a2, a3] = [0, 1, 2, 3].map((k) => Math.min(first + k, last) * features);
  for (let j = 0; j < rows; j += 2) {
    const pair = Math.min(j + 1, rows - 1);
    const p = j * features;
    const q = pair * features;
    let s0 = 0;
    let s1 = 0;
    let s2 = 0;
    let s3 = 0;
    let t0 = 0;
    let t1 = 0;
    let t2 = 0;
    let t3 = 0;
    for (let f = 0; f < features; f++) {
      const u = b[p + f];
      const v = b[q + f];
      const x0 = a[a0 + f];
      const x1 = a[a1 + f];
      const x2 = a[a2 + f];
      const x3 = a[a3 + f];
      s0 += x0 * u;
      t0 += x0 * v;
      s1 += x1 * u;
      t1 += x1 * v;
      s2 += x2 * u;
      t2 += x2 * v;
      s3 += x3 * u;
      t3 += x3 * v;
    }
    out[j] = s0;
    out[rows + j] = s1;
    out[2 * rows + j] = s2;
    out[3 * rows + j] = s3;
    out[pair] = t0;
    out[rows + pair] = t1;
    out[2 * rows + pair] = t2;
    out[3 * rows + pair] = t3;
  }
}
