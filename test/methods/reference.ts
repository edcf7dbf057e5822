// A small MobileNet-V1 and what stands behind it, forward only and in f64: what the methods' gradients are compared with.
import type { Block } from '../../src/encoders/mobilenet_v1.js';

/** A tensor of a network by its name. */
export type Lookup = (name: string) => Float64Array;

/** Rows of one length, one behind the other. */
export interface Rows {
  readonly data: Float64Array;
  readonly D: number;
}

/** Images (N, C, S, S). */
interface Maps {
  readonly data: Float64Array;
  readonly N: number;
  readonly C: number;
  readonly S: number;
}

/** 3x3, or 1x1, padded so that stride 1 keeps the size; weight (O, I, k, k), or (C, 1, k, k) where `depthwise`. */
function convolve(x: Maps, weight: Float64Array, K: number, stride: number, depthwise = false): Maps {
  const { N, C, S, data } = x;
  const I = depthwise ? 1 : C;
  const O = weight.length / (I * K * K);
  const pad = Math.floor(K / 2);
  const T = Math.floor((S + 2 * pad - K) / stride) + 1;
  const y = new Float64Array(N * O * T * T);
  let at = 0;
  for (let n = 0; n < N; n++)
    for (let o = 0; o < O; o++)
      for (let row = 0; row < T; row++)
        for (let column = 0; column < T; column++, at++)
          for (let i = 0; i < I; i++)
            for (let k = 0; k < K * K; k++) {
              const [r, c] = [row * stride + Math.floor(k / K) - pad, column * stride + (k % K) - pad];
              if (r < 0 || c < 0 || r >= S || c >= S) continue;
              const channel = depthwise ? o : i;
              y[at] += weight[(o * I + i) * K * K + k] * data[((n * C + channel) * S + r) * S + c];
            }
  return { data: y, N, C: O, S: T };
}

/** The least distance from its kink that any ReLU was asked at: nearer, f32 may have chosen the other side. */
export const kink = { distance: Number.POSITIVE_INFINITY };

function relu(value: number): number {
  kink.distance = Math.min(kink.distance, Math.abs(value));
  return Math.max(0, value);
}

/** By the batch's statistics, or the running ones. `stride` elements of a channel lie together. */
function normalize(data: Float64Array, C: number, stride: number, w: Lookup, name: string, running = false) {
  const [gamma, beta] = [w(`${name}.weight`), w(`${name}.bias`)];
  const channel = (i: number) => Math.floor(i / stride) % C;
  const count = data.length / C;
  const means = running ? w(`${name}.running_mean`) : new Float64Array(C);
  const variances = running ? w(`${name}.running_var`) : new Float64Array(C);
  if (!running) {
    for (let i = 0; i < data.length; i++) means[channel(i)] += data[i] / count;
    for (let i = 0; i < data.length; i++) variances[channel(i)] += (data[i] - means[channel(i)]) ** 2 / count;
  }
  return data.map((value, i) => {
    const c = channel(i);
    return gamma[c] * ((value - means[c]) / Math.sqrt(variances[c] + 1e-5)) + beta[c];
  });
}

const normRelu = (...of: Parameters<typeof normalize>) => normalize(...of).map(relu);

/** Features of images x (N, 3, S, S), by the statistics of the batch or by the running ones; a first stride of 1. */
export function mobilenet(w: Lookup, x: Float64Array, N: number, blocks: readonly Block[], running = false): Rows {
  const S = Math.sqrt(x.length / N / 3);
  const maps = (y: Maps, w: Lookup, name: string): Maps => ({
    ...y,
    data: normRelu(y.data, y.C, y.S * y.S, w, name, running),
  });
  let y = maps(convolve({ data: x, N, C: 3, S }, w('features.0.0.weight'), 3, 1), w, 'features.0.1');
  blocks.forEach(([, stride], i) => {
    const name = `features.${i + 1}.block`;
    y = maps(convolve(y, w(`${name}.0.0.weight`), 3, stride, true), w, `${name}.0.1`);
    y = maps(convolve(y, w(`${name}.1.0.weight`), 1, 1), w, `${name}.1.1`);
  });
  const P = y.S * y.S;
  const data = Float64Array.from({ length: N * y.C }, (_, i) => mean(y.data.subarray(i * P, (i + 1) * P)));
  return { data, D: y.C };
}

export function linear({ data, D }: Rows, weight: Float64Array, bias?: Float64Array): Rows {
  const O = weight.length / D;
  const y = new Float64Array((data.length / D) * O);
  for (let i = 0; i < y.length; i++) {
    const [n, o] = [Math.floor(i / O), i % O];
    y[i] = bias?.[o] ?? 0;
    for (let d = 0; d < D; d++) y[i] += data[n * D + d] * weight[o * D + d];
  }
  return { data: y, D: O };
}

/** A head of two layers, with batchnorm where it has one. */
export function mlp(w: Lookup, name: string, x: Rows, batchnorm = false): Rows {
  const hidden = linear(x, w(`${name}.0.weight`), w(`${name}.0.bias`));
  const last = batchnorm ? 3 : 2;
  const data = batchnorm ? normRelu(hidden.data, hidden.D, 1, w, `${name}.1`) : hidden.data.map(relu);
  return linear({ ...hidden, data }, w(`${name}.${last}.weight`), w(`${name}.${last}.bias`));
}

/** Batchnorm by the statistics of the batch. */
export function norm(w: Lookup, name: string, { data, D }: Rows): Rows {
  return { data: normalize(data, D, 1, w, name), D };
}

export function unit({ data, D }: Rows): Rows {
  return { data: data.map((value, i) => value / Math.sqrt(dot(rowOf(data, D, i), rowOf(data, D, i)))), D };
}

/** The row that element i belongs to. */
function rowOf(data: Float64Array, D: number, i: number): Float64Array {
  const n = Math.floor(i / D);
  return data.subarray(n * D, (n + 1) * D);
}

/** (N, 1 + K): each row by its own key, then by all of the queue. */
export function similarities(q: Rows, own: Rows, queue: Rows): Rows {
  const { D } = q;
  const [N, K] = [q.data.length / D, queue.data.length / D];
  const data = new Float64Array(N * (1 + K));
  for (let n = 0; n < N; n++)
    for (let k = 0; k <= K; k++) {
      const key = k === 0 ? own.data.subarray(n * D, (n + 1) * D) : queue.data.subarray((k - 1) * D, k * D);
      data[n * (1 + K) + k] = dot(q.data.subarray(n * D, (n + 1) * D), key);
    }
  return { data, D: 1 + K };
}

export function softmax({ data, D }: Rows, temperature: number): Rows {
  const y = new Float64Array(data.length);
  for (let at = 0; at < data.length; at += D) {
    const row = data.subarray(at, at + D).map((value) => value / temperature);
    const most = Math.max(...row);
    const powers = row.map((value) => Math.exp(value - most));
    const sum = powers.reduce((a, b) => a + b);
    y.set(
      powers.map((value) => value / sum),
      at,
    );
  }
  return { data: y, D };
}

/** −(1/N) Σ t log softmax(logits / τ). */
export function crossEntropy(logits: Rows, targets: Rows, temperature: number): number {
  const N = logits.data.length / logits.D;
  return -dot(targets.data, softmax(logits, temperature).data.map(Math.log)) / N;
}

/** 1 in column 0 of every row. */
export function firstColumn({ data, D }: Rows): Rows {
  return { data: data.map((_, i) => (i % D === 0 ? 1 : 0)), D };
}

/** Even over column 0 and the `count` largest of the others. */
export function nearest({ data, D }: Rows, count: number): Rows {
  const y = new Float64Array(data.length);
  for (let at = 0; at < data.length; at += D) {
    const others = Array.from({ length: D - 1 }, (_, k) => k + 1).sort((a, b) => data[at + b] - data[at + a]);
    for (const k of [0, ...others.slice(0, count)]) y[at + k] = 1 / (1 + count);
  }
  return { data: y, D };
}

/** exp(s/ε), its columns and then its rows made even, a few times: rows add up to 1. */
export function sinkhorn({ data, D }: Rows, epsilon: number, iterations: number): Rows {
  const N = data.length / D;
  const q = data.map((value) => Math.exp(value / epsilon));
  for (let round = 0; round < iterations; round++) {
    const columns = new Float64Array(D);
    q.forEach((value, i) => {
      columns[i % D] += value;
    });
    q.forEach((value, i) => {
      q[i] = value / columns[i % D] / D;
    });
    const rows = new Float64Array(N);
    q.forEach((value, i) => {
      rows[Math.floor(i / D)] += value;
    });
    q.forEach((value, i) => {
      q[i] = value / rows[Math.floor(i / D)] / N;
    });
  }
  return { data: q.map((value) => value * N), D };
}

export function squaredDistance(a: Rows, b: Rows): number {
  return a.data.reduce((sum, value, i) => sum + (value - b.data[i]) ** 2, 0);
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

function mean(values: Float64Array): number {
  return values.reduce((a, b) => a + b) / values.length;
}
