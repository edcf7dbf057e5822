// Signs of collapse in embeddings: standard deviation per dimension and effective rank.
import { NonFiniteError } from '../errors.js';
import { rowsOf } from './rows.js';

/** Signs of collapse in a set of embeddings. */
export interface Collapse {
  /** Standard deviation of each dimension over the set, (F). A dead dimension has 0. */
  std: Float32Array;
  /** Mean of `std`. */
  meanStd: number;
  /**
   * exp of the entropy of the covariance's normalized eigenvalues: 1 when all variance lies along one direction,
   * min(N - 1, F) when it is spread evenly, 0 when there is none.
   */
  effectiveRank: number;
}

/**
 * Per-dimension standard deviation and effective rank of embeddings `data` (N, F).
 *
 * @throws ShapeError when sizes do not fit; NonFiniteError when an embedding holds a NaN or infinity
 */
export function collapse(data: Float32Array, features: number): Collapse {
  const rows = rowsOf('collapse', data, features);
  const mean = new Float64Array(features);
  for (let i = 0; i < data.length; i++) mean[i % features] += data[i];
  const centered = Float64Array.from(data, (value, i) => value - mean[i % features] / rows);
  const variance = new Float64Array(features);
  for (let i = 0; i < centered.length; i++) variance[i % features] += centered[i] ** 2 / rows;

  const total = variance.reduce((sum, v) => sum + v, 0);
  if (!Number.isFinite(total)) {
    throw new NonFiniteError('collapse: the embeddings hold a NaN or infinity; they have no rank');
  }
  const std = Float32Array.from(variance, Math.sqrt);
  const meanStd = std.reduce((sum, s) => sum + s, 0) / features;
  if (total === 0) return { std, meanStd, effectiveRank: 0 };

  // The covariance (F, F) and the Gram matrix (N, N) share their nonzero eigenvalues: solve the smaller.
  const [size, inner, stepOut, stepIn] =
    features <= rows ? [features, rows, 1, features] : [rows, features, features, 1];
  const matrix = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let n = 0; n < inner; n++) sum += centered[i * stepOut + n * stepIn] * centered[j * stepOut + n * stepIn];
      matrix[i * size + j] = matrix[j * size + i] = sum / rows;
    }
  }
  let entropy = 0;
  for (const value of symmetricEigenvalues(matrix, size)) {
    const share = value / total;
    if (share > 0) entropy -= share * Math.log(share);
  }
  return { std, meanStd, effectiveRank: Math.exp(entropy) };
}

/**
 * Eigenvalues of a symmetric matrix (n, n) in no particular order, by Householder reduction to a tridiagonal matrix and
 * implicitly shifted QL (Golub & Van Loan, Matrix Computations, 8.3). The matrix is overwritten.
 */
export function symmetricEigenvalues(a: Float64Array, n: number): Float64Array {
  const diagonal = new Float64Array(n);
  const off = new Float64Array(n);
  tridiagonalize(a, n, diagonal, off);
  implicitQl(diagonal, off, n);
  return diagonal;
}

/** Reflects each column k below the diagonal onto its first entry: `diagonal[k]` and `off[k]`, next to it, remain. */
function tridiagonalize(a: Float64Array, n: number, diagonal: Float64Array, off: Float64Array): void {
  const v = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = 0; k < n - 1; k++) {
    let norm = 0;
    for (let i = k + 1; i < n; i++) {
      v[i] = a[k * n + i];
      norm += v[i] ** 2;
    }
    norm = Math.sqrt(norm);
    diagonal[k] = a[k * n + k];
    off[k] = 0;
    if (norm === 0) continue;
    const head = v[k + 1] > 0 ? -norm : norm;
    off[k] = head;
    v[k + 1] -= head;
    let square = 0;
    for (let i = k + 1; i < n; i++) square += v[i] ** 2;
    if (square === 0) continue;
    const beta = 2 / square;
    let projection = 0;
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += a[i * n + j] * v[j];
      p[i] = beta * sum;
      projection += p[i] * v[i];
    }
    for (let i = k + 1; i < n; i++) p[i] -= (beta / 2) * projection * v[i];
    for (let i = k + 1; i < n; i++) {
      for (let j = k + 1; j < n; j++) a[i * n + j] -= v[i] * p[j] + p[i] * v[j];
    }
  }
  diagonal[n - 1] = a[n * n - 1];
}

function implicitQl(d: Float64Array, e: Float64Array, n: number): void {
  let size = 0;
  for (let i = 0; i < n; i++) size = Math.max(size, Math.abs(d[i]) + Math.abs(e[i]));
  const negligible = Number.EPSILON * size;
  for (let first = 0; first < n; first++) {
    for (let sweep = 0; sweep < 60; sweep++) {
      let last = first;
      while (last < n - 1 && Math.abs(e[last]) > negligible) last++;
      if (last === first) break;
      let g = (d[first + 1] - d[first]) / (2 * e[first]);
      const r = Math.hypot(g, 1);
      g = d[last] - d[first] + e[first] / (g + (g < 0 ? -r : r));
      let sine = 1;
      let cosine = 1;
      let shift = 0;
      let i = last - 1;
      for (; i >= first; i--) {
        const f = sine * e[i];
        const b = cosine * e[i];
        const length = Math.hypot(f, g);
        e[i + 1] = length;
        if (length === 0) {
          d[i + 1] -= shift;
          e[last] = 0;
          break;
        }
        sine = f / length;
        cosine = g / length;
        const t = d[i + 1] - shift;
        const u = (d[i] - t) * sine + 2 * cosine * b;
        shift = sine * u;
        d[i + 1] = t + shift;
        g = cosine * u - b;
      }
      if (i >= first) continue;
      d[first] -= shift;
      e[first] = g;
      e[last] = 0;
    }
  }
}
