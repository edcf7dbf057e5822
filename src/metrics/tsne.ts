import { expectOptions } from '../checks/options.js';
import { ShapeError } from '../errors.js';
import { pca } from './pca.js';
import { rowsOf } from './rows.js';

export interface TsneOptions {
  /** How many neighbors a point is to keep near, about; at most a third of the points. */
  perplexity?: number;
  /** Steps in all; the first three tenths with exaggerated affinities. */
  iterations?: number;
}

const exaggeration = 12;

/**
 * Points (N, 2) that keep the neighbors of `data` (N, F) near: t-SNE (van der Maaten and Hinton, 2008), exact, from the
 * first two principal components on, so that the same data give the same points. Its work grows with N²: for about a
 * thousand rows.
 *
 * @throws ShapeError when sizes do not fit; NonFiniteError when a row holds a NaN or infinity
 */
export function tsne(data: Float32Array, features: number, options: TsneOptions = {}): Float64Array {
  const { perplexity = 30, iterations = 500 } = expectOptions('tsne', options, {
    perplexity: 'number',
    iterations: 'number',
  });
  const N = rowsOf('tsne', data, features);
  if (!(perplexity > 1) || !(Number.isInteger(iterations) && iterations >= 0))
    throw new ShapeError(
      `tsne: expected a perplexity above 1 and a whole number of iterations, got ${perplexity} and ${iterations}`,
    );
  const { projected: y, variances } = pca(data, features);
  const spread = Math.sqrt(variances[0]);
  if (N < 5 || spread === 0) return y;
  for (let i = 0; i < y.length; i++) y[i] *= 1e-4 / spread;

  const p = affinities(squaredDistances(data, features), N, Math.min(perplexity, (N - 1) / 3));
  const early = Math.floor(0.3 * iterations);
  const rate = Math.max(N / exaggeration / 4, 50);
  const gradient = new Float64Array(2 * N);
  const velocity = new Float64Array(2 * N);
  const gains = new Float64Array(2 * N).fill(1);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const momentum = iteration < early ? 0.5 : 0.8;
    tsneGradient(p, y, gradient, iteration < early ? exaggeration : 1);
    for (let i = 0; i < y.length; i++) {
      gains[i] = gradient[i] * velocity[i] < 0 ? gains[i] + 0.2 : Math.max(0.01, gains[i] * 0.8);
      velocity[i] = momentum * velocity[i] - rate * gains[i] * gradient[i];
      y[i] += velocity[i];
    }
  }
  return y;
}

/** Squared Euclidean distances between all rows, (N, N). */
export function squaredDistances(data: Float32Array, features: number): Float64Array {
  const N = rowsOf('tsne', data, features);
  const out = new Float64Array(N * N);
  for (let i = 0; i < N; i++)
    for (let j = 0; j < i; j++) {
      let sum = 0;
      for (let f = 0; f < features; f++) sum += (data[i * features + f] - data[j * features + f]) ** 2;
      out[i * N + j] = out[j * N + i] = sum;
    }
  return out;
}

/**
 * Symmetric affinities p_ij (N, N) that sum to 1: for each row a Gaussian over the distances to the others, as wide as
 * gives it the entropy log(perplexity); then (p_j|i + p_i|j) / 2N.
 */
export function affinities(squared: Float64Array, N: number, perplexity: number): Float64Array {
  const wanted = Math.log(perplexity);
  const row = new Float64Array(N);
  const p = new Float64Array(N * N);
  for (let i = 0; i < N; i++) {
    let nearest = Number.POSITIVE_INFINITY;
    for (let j = 0; j < N; j++) if (j !== i) nearest = Math.min(nearest, squared[i * N + j]);
    let [low, high, beta] = [0, Number.POSITIVE_INFINITY, 1];
    let sum = 0;
    for (let search = 0; search < 64; search++) {
      sum = 0;
      let mean = 0;
      for (let j = 0; j < N; j++) {
        const far = squared[i * N + j] - nearest;
        row[j] = j === i ? 0 : Math.exp(-beta * far);
        sum += row[j];
        mean += row[j] * far;
      }
      const entropy = Math.log(sum) + (beta * mean) / sum;
      if (Math.abs(entropy - wanted) < 1e-7) break;
      if (entropy > wanted) low = beta;
      else high = beta;
      beta = high === Number.POSITIVE_INFINITY ? beta * 2 : (low + high) / 2;
    }
    for (let j = 0; j < N; j++) {
      p[i * N + j] += row[j] / sum / (2 * N);
      p[j * N + i] += row[j] / sum / (2 * N);
    }
  }
  return p;
}

/** ∂KL/∂y (N, 2) at the points `y`, of the divergence of the Student-t affinities q from `scale` x p, into `out`. */
export function tsneGradient(p: Float64Array, y: Float64Array, out: Float64Array, scale = 1): void {
  const N = y.length / 2;
  const total = 1 / kernelSum(y);
  out.fill(0);
  for (let i = 0; i < N; i++) {
    const [u, v] = [y[2 * i], y[2 * i + 1]];
    let [du, dv] = [0, 0];
    for (let j = 0; j < i; j++) {
      const a = u - y[2 * j];
      const b = v - y[2 * j + 1];
      const near = 1 / (1 + a * a + b * b);
      const force = 4 * (scale * p[i * N + j] - near * total) * near;
      du += force * a;
      dv += force * b;
      out[2 * j] -= force * a;
      out[2 * j + 1] -= force * b;
    }
    out[2 * i] += du;
    out[2 * i + 1] += dv;
  }
}

/** Σ 1 / (1 + |y_i − y_j|²) over all i ≠ j: q's denominator. */
function kernelSum(y: Float64Array): number {
  const N = y.length / 2;
  let sum = 0;
  for (let i = 0; i < N; i++)
    for (let j = 0; j < i; j++) {
      const a = y[2 * i] - y[2 * j];
      const b = y[2 * i + 1] - y[2 * j + 1];
      sum += 2 / (1 + a * a + b * b);
    }
  return sum;
}
