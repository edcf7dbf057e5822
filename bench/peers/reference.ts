// The same layers in f64 on the CPU, forward and backward, in the plainest way that is fast enough.
import {
  allWeightShapes,
  type Case,
  eps,
  inputsOf,
  type Layer,
  lambda,
  lr,
  numel,
  type Pass,
  shapeAfter,
  type Values,
} from './cases.js';

type F64 = Float64Array<ArrayBuffer>;
type Numbers = F64 | Float32Array;
type Doubles = Record<string, F64>;

/** A layer's output, and its input's gradient given the output's; gradients of weights are added to `into`. */
interface Result {
  readonly y: F64;
  backward(dy: Numbers, into: Doubles): F64;
}

/** What a correct side gives for the outputs named in `Loaded`, by name. */
export function reference(c: Case, seed: number): Doubles {
  const values = inputsOf(c, seed);
  const gradients = (): Doubles =>
    Object.fromEntries(
      Object.entries(allWeightShapes(c)).map(([name, shape]) => [name, new Float64Array(numel(shape))]),
    );
  if (c.kind === 'loss') {
    const { loss, dza, dzb } = barlowTwins(values.za, values.zb, c.shape);
    return { loss: Float64Array.of(loss), dza, dzb };
  }
  const into = gradients();
  if (c.kind === 'layers') {
    const { y, backward } = chain(c, values.x, values);
    const outputs: Doubles = { y, dx: backward(values.dy, into) };
    for (const [name, gradient] of Object.entries(into)) outputs[`d${name}`] = gradient;
    return outputs;
  }
  const [a, b] = [values.xa, values.xb].map((x) => chain(c, x, values));
  const { loss, dza, dzb } = barlowTwins(a.y, b.y, c.layers.reduce(shapeAfter, c.shape));
  a.backward(dza, into);
  b.backward(dzb, into);
  const outputs: Doubles = { loss: Float64Array.of(loss) };
  // the first step of SGD with momentum, from none
  for (const [name, gradient] of Object.entries(into))
    outputs[name] = gradient.map((value, i) => values[name][i] - lr * value);
  return outputs;
}

function chain({ layers, shape }: Case, x: Numbers, weights: Values): Result {
  const results: Result[] = [];
  let y: F64 = Float64Array.from(x);
  let at = shape;
  for (const layer of layers) {
    const result = apply(layer, y, at, weights);
    results.push(result);
    y = result.y;
    at = shapeAfter(at, layer);
  }
  return {
    y,
    backward: (dy, into) =>
      results.toReversed().reduce<F64>((d, { backward }) => backward(d, into), Float64Array.from(dy)),
  };
}

function apply(layer: Layer, x: F64, shape: readonly number[], weights: Values): Result {
  switch (layer.kind) {
    case 'conv':
      return convolution(layer, { O: layer.O, groups: 1 }, x, shape, weights);
    case 'depthwise':
      return convolution(layer, { O: layer.C, groups: layer.C }, x, shape, weights);
    case 'norm':
      return norm(layer, x, shape, weights);
    case 'pool':
      return pool(x, shape);
    case 'dense':
      return dense(layer, x, weights);
  }
}

function convolution(
  layer: { name: string; K: number; S: number },
  { O, groups }: { O: number; groups: number },
  x: F64,
  [N, I, H, W]: readonly number[],
  weights: Values,
): Result {
  const { K, S } = layer;
  const P = K >> 1;
  const [OH, OW] = [H, W].map((side) => Math.floor((side + 2 * P - K) / S) + 1);
  const [GI, GO] = [I / groups, O / groups];
  const weight = weights[`${layer.name}.weight`];

  /** Calls `row` for every output row that a tap reaches: where it and its input start, how long it is, the tap. */
  const rows = (row: (to: number, from: number, length: number, tap: number) => void) => {
    for (let n = 0; n < N; n++)
      for (let o = 0; o < O; o++)
        for (let i = 0; i < GI; i++)
          for (let k = 0; k < K * K; k++) {
            const [ky, kx] = [Math.floor(k / K) - P, (k % K) - P];
            const first = Math.max(0, Math.ceil(-kx / S));
            const last = Math.min(OW - 1, Math.floor((W - 1 - kx) / S));
            const plane = (n * I + Math.floor(o / GO) * GI + i) * H;
            for (let p = 0; p < OH; p++) {
              const h = p * S + ky;
              if (h < 0 || h >= H) continue;
              const to = ((n * O + o) * OH + p) * OW + first;
              row(to, (plane + h) * W + first * S + kx, last - first + 1, (o * GI + i) * K * K + k);
            }
          }
  };
  const y = new Float64Array(N * O * OH * OW);
  rows((to, from, length, tap) => {
    const w = weight[tap];
    for (let q = 0; q < length; q++) y[to + q] += w * x[from + q * S];
  });
  return {
    y,
    backward(dy, into) {
      const dx = new Float64Array(x.length);
      const dweight = into[`${layer.name}.weight`];
      rows((to, from, length, tap) => {
        const w = weight[tap];
        let sum = 0;
        for (let q = 0; q < length; q++) {
          dx[from + q * S] += w * dy[to + q];
          sum += x[from + q * S] * dy[to + q];
        }
        dweight[tap] += sum;
      });
      return dx;
    },
  };
}

function norm(
  { name, C, relu }: Extract<Layer, { kind: 'norm' }>,
  x: F64,
  shape: readonly number[],
  weights: Values,
): Result {
  const P = numel(shape.slice(2));
  const count = shape[0] * P;
  const [gamma, beta] = [weights[`${name}.weight`], weights[`${name}.bias`]];
  const channel = (i: number) => Math.floor(i / P) % C;
  const sums = (of: (i: number) => number) => {
    const total = new Float64Array(C);
    for (let i = 0; i < x.length; i++) total[channel(i)] += of(i);
    return total;
  };
  const mean = sums((i) => x[i]).map((sum) => sum / count);
  const r = sums((i) => (x[i] - mean[channel(i)]) ** 2).map((sum) => 1 / Math.sqrt(sum / count + eps));
  const hat = x.map((value, i) => (value - mean[channel(i)]) * r[channel(i)]);
  const before = hat.map((value, i) => gamma[channel(i)] * value + beta[channel(i)]);
  return {
    y: relu ? before.map((value) => Math.max(0, value)) : before,
    backward(dy, into) {
      const masked = Float64Array.from(dy, (value, i) => (relu && before[i] <= 0 ? 0 : value));
      const dbeta = sums((i) => masked[i]);
      const dgamma = sums((i) => masked[i] * hat[i]);
      for (let c = 0; c < C; c++) {
        into[`${name}.weight`][c] += dgamma[c];
        into[`${name}.bias`][c] += dbeta[c];
      }
      return masked.map((value, i) => {
        const c = channel(i);
        return gamma[c] * r[c] * (value - (dbeta[c] + hat[i] * dgamma[c]) / count);
      });
    },
  };
}

function pool(x: F64, [N, C, H, W]: readonly number[]): Result {
  const P = H * W;
  const y = new Float64Array(N * C);
  for (let i = 0; i < x.length; i++) y[Math.floor(i / P)] += x[i] / P;
  return { y, backward: (dy) => x.map((_, i) => dy[Math.floor(i / P)] / P) };
}

function dense({ name, I, O }: Extract<Layer, { kind: 'dense' }>, x: F64, weights: Values): Result {
  const N = x.length / I;
  const [weight, bias] = [weights[`${name}.weight`], weights[`${name}.bias`]];
  const y = new Float64Array(N * O);
  for (let n = 0; n < N; n++)
    for (let o = 0; o < O; o++) {
      let sum = bias[o];
      for (let i = 0; i < I; i++) sum += x[n * I + i] * weight[o * I + i];
      y[n * O + o] = sum;
    }
  return {
    y,
    backward(dy, into) {
      const dx = new Float64Array(x.length);
      const [dweight, dbias] = [into[`${name}.weight`], into[`${name}.bias`]];
      for (let n = 0; n < N; n++)
        for (let o = 0; o < O; o++) {
          const d = dy[n * O + o];
          dbias[o] += d;
          for (let i = 0; i < I; i++) {
            dx[n * I + i] += d * weight[o * I + i];
            dweight[o * I + i] += d * x[n * I + i];
          }
        }
      return dx;
    },
  };
}

/** By the whole matrix C = AᵀB / N, where the sides may take any short cut. */
function barlowTwins(za: Numbers, zb: Numbers, [N, D]: readonly number[]) {
  const a = standardized(za, N, D);
  const b = standardized(zb, N, D);
  const [ta, tb] = [new Float64Array(N * D), new Float64Array(N * D)];
  let loss = 0;
  for (let i = 0; i < D; i++)
    for (let j = 0; j < D; j++) {
      let c = 0;
      for (let n = 0; n < N; n++) c += (a.z[i * N + n] * b.z[j * N + n]) / N;
      loss += i === j ? (c - 1) ** 2 : lambda * c * c;
      const g = (2 * (i === j ? c - 1 : lambda * c)) / N;
      for (let n = 0; n < N; n++) {
        ta[i * N + n] += g * b.z[j * N + n];
        tb[j * N + n] += g * a.z[i * N + n];
      }
    }
  return { loss, dza: unstandardize(a, ta, N, D), dzb: unstandardize(b, tb, N, D) };
}

interface Standard {
  /** (D, N): a column of the batch after the other. */
  readonly z: F64;
  readonly r: F64;
}

function standardized(batch: Numbers, N: number, D: number): Standard {
  const z = new Float64Array(N * D);
  const r = new Float64Array(D);
  for (let i = 0; i < D; i++) {
    let [mean, variance] = [0, 0];
    for (let n = 0; n < N; n++) mean += batch[n * D + i] / N;
    for (let n = 0; n < N; n++) variance += (batch[n * D + i] - mean) ** 2 / N;
    r[i] = 1 / Math.sqrt(variance + eps);
    for (let n = 0; n < N; n++) z[i * N + n] = (batch[n * D + i] - mean) * r[i];
  }
  return { z, r };
}

/** The gradient of the batch (N, D), given that of its standardized columns. */
function unstandardize({ z, r }: Standard, t: F64, N: number, D: number): F64 {
  const dz = new Float64Array(N * D);
  for (let i = 0; i < D; i++) {
    let [mean, along] = [0, 0];
    for (let n = 0; n < N; n++) {
      mean += t[i * N + n] / N;
      along += (t[i * N + n] * z[i * N + n]) / N;
    }
    for (let n = 0; n < N; n++) dz[n * D + i] = r[i] * (t[i * N + n] - mean - z[i * N + n] * along);
  }
  return dz;
}

/** What a pass is named where it is one of two. */
export const passes = (c: Case): readonly Pass[] => (c.kind === 'step' ? ['both'] : ['forward', 'both']);
