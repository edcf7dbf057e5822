// Whitening of embeddings: after it no direction of the rows it was fitted on counts for more than another.
import { NonFiniteError, ShapeError } from '../errors.js';
import { rowsOf } from './rows.js';

/** What `whiten` takes off and divides by: of F features their mean (F) and a lower triangle L (F, F). */
export interface Whitening {
  readonly mean: Float64Array;
  /** Cholesky's factor of the rows' covariance, its diagonal raised: L Lᵀ = C + ridge · trace(C) / F · I. */
  readonly factor: Float64Array;
}

/**
 * Fits a whitening to `data` (N, F). Rows that are whitened have the dot products of PCA whitening by V / √(e + ridge · mean e),
 * since both are xᵀ (C + r I)⁻¹ y; it takes no eigenvectors.
 *
 * @param ridge share of the mean variance that is added to every direction: those with hardly any would else be noise blown up
 * @throws ShapeError when sizes do not fit or the ridge is not above 0; NonFiniteError when a row holds a NaN or infinity
 */
export function fitWhitening(data: Float32Array, features: number, ridge = 0.1): Whitening {
  const rows = rowsOf('fitWhitening', data, features);
  if (!(ridge > 0)) throw new ShapeError(`fitWhitening: expected a ridge above 0, got ${ridge}`);
  const mean = new Float64Array(features);
  for (let i = 0; i < data.length; i++) mean[i % features] += data[i] / rows;
  const factor = covariance(data, mean);
  let trace = 0;
  for (let f = 0; f < features; f++) trace += factor[f * features + f];
  if (!Number.isFinite(trace)) throw new NonFiniteError('fitWhitening: the rows hold a NaN or infinity');
  // rows that are all alike have no variance: they are only centered
  const added = trace > 0 ? (ridge * trace) / features : 1;
  for (let f = 0; f < features; f++) factor[f * features + f] += added;
  factorize(factor, features);
  return { mean, factor };
}

/** The rows of `data` (N, F) whitened: L⁻¹ (x − mean), by forward substitution. */
export function whiten({ mean, factor }: Whitening, data: Float32Array): Float32Array {
  const features = mean.length;
  const rows = rowsOf('whiten', data, features);
  const out = new Float32Array(data.length);
  const z = new Float64Array(features);
  for (let n = 0; n < rows; n++) {
    for (let f = 0; f < features; f++) {
      let left = data[n * features + f] - mean[f];
      for (let k = 0; k < f; k++) left -= factor[f * features + k] * z[k];
      z[f] = left / factor[f * features + f];
    }
    out.set(z, n * features);
  }
  return out;
}

/** (F, F), biased; only its lower triangle is filled. */
function covariance(data: Float32Array, mean: Float64Array): Float64Array {
  const features = mean.length;
  const rows = data.length / features;
  const sum = new Float64Array(features * features);
  const x = new Float64Array(features);
  for (let n = 0; n < rows; n++) {
    for (let f = 0; f < features; f++) x[f] = data[n * features + f] - mean[f];
    for (let f = 0; f < features; f++)
      for (let k = 0, at = f * features; k <= f; k++, at++) sum[at] += (x[f] * x[k]) / rows;
  }
  return sum;
}

/** Cholesky's factorization in place, row by row. */
function factorize(a: Float64Array, size: number): void {
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let left = a[i * size + j];
      for (let k = 0; k < j; k++) left -= a[i * size + k] * a[j * size + k];
      a[i * size + j] = i === j ? Math.sqrt(left) : left / a[j * size + j];
    }
  }
}
