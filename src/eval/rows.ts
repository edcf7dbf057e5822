import { NonFiniteError, ShapeError } from '../errors.js';

/** Rows of (N, F) `data` scaled to length 1, as a copy; a row of zeros stays zero. With `centre`, the mean over the rows is removed first. */
export function unitRows(what: string, data: Float32Array, features: number, centre = false): Float32Array {
  const rows = rowsOf(what, data, features);
  const mean = new Float64Array(features);
  if (centre) {
    for (let i = 0; i < data.length; i++) mean[i % features] += data[i];
  }
  const unit = new Float32Array(data.length);
  for (let n = 0; n < rows; n++) {
    const start = n * features;
    let square = 0;
    for (let f = 0; f < features; f++) square += (data[start + f] - mean[f] / rows) ** 2;
    if (!Number.isFinite(square)) {
      throw new NonFiniteError(`${what}: row ${n} of ${rows} holds a NaN or infinity; embeddings must be finite`);
    }
    const scale = square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let f = 0; f < features; f++) unit[start + f] = (data[start + f] - mean[f] / rows) * scale;
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

/** Dot product of row `i` of `a` with row `j` of `b`, both with `features` columns. */
export function dot(a: Float32Array, i: number, b: Float32Array, j: number, features: number): number {
  const p = i * features;
  const q = j * features;
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let f = 0;
  for (; f + 3 < features; f += 4) {
    s0 += a[p + f] * b[q + f];
    s1 += a[p + f + 1] * b[q + f + 1];
    s2 += a[p + f + 2] * b[q + f + 2];
    s3 += a[p + f + 3] * b[q + f + 3];
  }
  for (; f < features; f++) s0 += a[p + f] * b[q + f];
  return s0 + s1 + (s2 + s3);
}
