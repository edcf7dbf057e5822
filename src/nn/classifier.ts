// The linear classifier on the features of an encoder: its layer, its standardization, its logits.
import { type Parameters, type ParameterView, parameter } from '../core/parameters.js';
import type { Tensors } from '../core/state.js';
import { Tape } from '../core/tape.js';
import { batchnorm } from '../ops/batchnorm.js';
import { linear } from '../ops/linear.js';
import type { Device } from '../runtime/device.js';
import { Plan } from '../runtime/plan.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { constant, normal } from './init.js';
import { type Module, sequential } from './module.js';

const [weight, bias] = ['classifier.weight', 'classifier.bias'];
const [scale, shift] = ['standardize.weight', 'standardize.bias'];
const [mean, variance] = ['standardize.running_mean', 'standardize.running_var'];
const eps = 1e-5;

/** A linear classifier on an encoder's features (N, F). */
export interface Classifier {
  /** Their names, K of them. */
  readonly classes: readonly string[];
  /** `classifier.weight` (K, F) and `classifier.bias` (K). */
  readonly state: Tensors;
}

/**
 * A linear layer from features (N, F) to logits (N, K): weights initialized normal with standard deviation 0.01, biases 0. With
 * `standardize` each feature is first centered and scaled by a given mean and variance, not learned ones
 * (`setStatistics`).
 */
export function classifier(features: number, classes: number, { standardize = false } = {}): Module {
  const layer: Module = {
    parameters: [parameter(weight, [classes, features], normal(0.01)), parameter(bias, [classes], constant(0))],
    statistics: [],
    forward: ({ tape, parameters }, x) =>
      linear(tape, x, parameters.tensor(weight, 'host'), parameters.tensor(bias, 'host')),
  };
  return standardize ? sequential(standardizer(features), layer) : layer;
}

/** The shapes of a classifier's tensors, by the names in `classifierState`. */
export function classifierShapes(features: number, classes: number): ReadonlyMap<string, readonly number[]> {
  return new Map([
    [weight, [classes, features]],
    [bias, [classes]],
  ]);
}

/** Batchnorm with given statistics: its affine parameters get no gradient and stay 1 and 0. */
function standardizer(features: number): Module {
  const channels = { host: features, slim: features };
  const fixed = (parameters: ParameterView, name: string): Tensor => {
    const { grad: _, ...rest } = parameters.tensor(name, 'host');
    return rest;
  };
  return {
    parameters: [parameter(scale, [features], constant(1)), parameter(shift, [features], constant(0))],
    statistics: [
      { name: mean, channels, init: 0 },
      { name: variance, channels, init: 1 },
    ],
    forward: ({ tape, parameters }, x) =>
      batchnorm(
        tape,
        x,
        {
          gamma: fixed(parameters, scale),
          beta: fixed(parameters, shift),
          runningMean: parameters.statistic(mean, 'host'),
          runningVar: parameters.statistic(variance, 'host'),
        },
        { training: false, eps },
      ),
  };
}

/** Mean and biased variance of each of F features over `rows` samples. */
export interface Moments {
  readonly rows: number;
  readonly means: Float64Array;
  readonly variances: Float64Array;
}

/** The moments of `rows` (N, F). */
export function momentsOf(rows: Float32Array, features: number): Moments {
  const N = rows.length / features;
  const means = new Float64Array(features);
  for (let i = 0; i < rows.length; i++) means[i % features] += rows[i] / N;
  const variances = new Float64Array(features);
  for (let i = 0; i < rows.length; i++) variances[i % features] += (rows[i] - means[i % features]) ** 2 / N;
  return { rows: N, means, variances };
}

/** The combined moments of both (Chan, Golub and LeVeque). */
export function together(a: Moments, b: Moments): Moments {
  const rows = a.rows + b.rows;
  const share = b.rows / rows;
  const gap = a.means.map((value, f) => b.means[f] - value);
  return {
    rows,
    means: a.means.map((value, f) => value + share * gap[f]),
    variances: a.variances.map(
      (value, f) => (1 - share) * value + share * b.variances[f] + share * (1 - share) * gap[f] ** 2,
    ),
  };
}

/** Sets the mean and variance of a standardizing classifier. */
export function setStatistics(parameters: Parameters, { means, variances }: Moments): void {
  parameters.write(`host.${mean}`, Float32Array.from(means));
  parameters.write(`host.${variance}`, Float32Array.from(variances));
}

/** The layer for unstandardized features, with the standardization folded in: `classifier.weight` and `.bias`. */
export async function classifierState(parameters: Parameters): Promise<Tensors> {
  const all = await parameters.read();
  const values = (name: string) => all.get(name)?.data;
  const [w, b] = [values(weight) as Float32Array, values(bias) as Float32Array];
  const [means, variances] = [values(`host.${mean}`), values(`host.${variance}`)];
  const features = w.length / b.length;
  if (means && variances)
    for (let k = 0; k < b.length; k++) {
      let moved = b[k];
      for (let f = 0; f < features; f++) {
        w[k * features + f] /= Math.sqrt(variances[f] + eps);
        moved -= w[k * features + f] * means[f];
      }
      b[k] = moved;
    }
  return new Map([
    [weight, { shape: [b.length, features], data: w }],
    [bias, { shape: [b.length], data: b }],
  ]);
}

const most = 256; // rows in a batch

/** Logits (N, K) of features `rows` (N, F), from a head and its parameters. */
export async function logitsOf(
  device: Device,
  head: Module,
  parameters: Parameters,
  rows: Float32Array<ArrayBuffer>,
  features: number,
): Promise<Float32Array<ArrayBuffer>> {
  const N = rows.length / features;
  const batch = Math.min(most, N);
  const buffer = device.buffer('logits.rows', batch * features * 4);
  const plan = new Plan(device, { label: 'logits' });
  try {
    const pass = { parameters, width: 'host', training: false, updateStats: false } as const;
    const y = head.forward(
      { ...pass, tape: new Tape(plan, { noGrad: true }) },
      tensor(buffer, 'rows', [batch, features]),
    );
    plan.retain(y);
    await plan.compile();
    const classes = y.shape[1];
    const logits = new Float32Array(N * classes);
    for (let first = 0; first < N; first += batch) {
      const count = Math.min(batch, N - first);
      device.write(buffer, rows.subarray(first * features, (first + count) * features));
      plan.run();
      logits.set((await plan.read(y)).subarray(0, count * classes), first * classes);
    }
    return logits;
  } finally {
    plan.dispose();
    device.free(buffer);
  }
}
