import { ShapeError } from '../errors.js';
import { rowsOf } from './rows.js';

/** A square matrix, row by row. */
export interface Correlation {
  size: number;
  data: Float32Array<ArrayBuffer>;
}

/**
 * C of u and v, (N, D) each and standardized by column: of its first columns, `most` at most.
 *
 * @throws ShapeError where their sizes do not fit
 */
export function correlation(u: Float32Array, v: Float32Array, D: number, most: number): Correlation {
  const N = rowsOf('correlation', u, D);
  if (v.length !== u.length)
    throw new ShapeError(`correlation: expected as many values of both, got ${u.length} and ${v.length}`);
  if (!(most >= 1)) throw new ShapeError(`correlation: expected at least 1 column, got ${most}`);
  const size = Math.min(D, Math.floor(most));
  const [a, b] = [standardized(u, N, D, size), standardized(v, N, D, size)];
  const data = new Float32Array(size * size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let n = 0; n < N; n++) sum += a[i * N + n] * b[j * N + n];
      data[i * size + j] = sum / N;
    }
  return { size, data };
}

/** The first `size` columns of z (N, D), each with mean 0 and variance 1, column by column. */
function standardized(z: Float32Array, N: number, D: number, size: number): Float64Array {
  const out = new Float64Array(size * N);
  for (let d = 0; d < size; d++) {
    let sum = 0;
    let squares = 0;
    for (let n = 0; n < N; n++) sum += z[n * D + d];
    const mean = sum / N;
    for (let n = 0; n < N; n++) squares += (z[n * D + d] - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / N + 1e-5);
    for (let n = 0; n < N; n++) out[d * N + n] = (z[n * D + d] - mean) * scale;
  }
  return out;
}
