import { Tape } from '../../src/core/tape.js';
import { readSafetensors, type Safetensors } from '../../src/formats/safetensors.js';
import { type Activation, activation } from '../../src/ops/activation.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { correlation, crossCorrelation, standardize } from '../../src/ops/cross_correlation.js';
import { depthwise } from '../../src/ops/depthwise.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, sliceView, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { encoder } from './encoder.js';
import { trajectory } from './trajectory.js';

/** One comparison of a case: how far from the reference, in its own measure, and how far it may be. */
export interface Check {
  readonly what: string;
  readonly error: number;
  readonly tolerance: number;
}

/** What a case's file holds, and the device to run it on. */
export interface Case {
  readonly device: Device;
  readonly attributes: Readonly<Record<string, string>>;
  /** The values of a tensor of the file. */
  values(name: string): Float32Array<ArrayBuffer>;
  shape(name: string): readonly number[];
  has(name: string): boolean;
  /** A buffer with the tensor's values. */
  upload(name: string, shape?: readonly number[]): Tensor;
  /** A buffer of zeros, or of `fill`. */
  filled(label: string, shape: readonly number[], fill?: number): Tensor;
}

/** Largest |a − b| over the largest |b|; infinite where a value is not a number or a length is off. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  let scale = 0;
  for (let i = 0; i < b.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference < Number.POSITIVE_INFINITY)) return Number.POSITIVE_INFINITY;
    worst = Math.max(worst, difference);
    scale = Math.max(scale, Math.abs(b[i]));
  }
  return worst / (scale || 1);
}

type Run = (of: Case) => Promise<Check[]>;

/** Runs what `record` puts on a tape, on poisoned memory, and compares each tensor that it returns. */
async function compare(
  of: Case,
  record: (tape: Tape) => Record<string, Tensor>,
  tolerance: (what: string) => number,
): Promise<Check[]> {
  const plan = new Plan(of.device);
  try {
    const wanted = Object.entries(record(new Tape(plan)));
    for (const [, result] of wanted) plan.retain(result);
    await plan.compile();
    plan.poison();
    plan.run();
    const checks: Check[] = [];
    for (const [what, result] of wanted) {
      const values = (await plan.read(result)).subarray(0, numel(result.shape));
      checks.push({ what, error: relativeError(values, of.values(what)), tolerance: tolerance(what) });
    }
    return checks;
  } finally {
    plan.dispose();
  }
}

const convolution: Run = (of) =>
  compare(
    of,
    (tape) => {
      const { cin, cout, stride, padding, groups } = of.attributes;
      const [, , , K] = of.shape('weight');
      const host: Tensor = { ...of.upload('weight'), grad: of.filled('gweight', of.shape('weight')) };
      const separable = groups === 'depthwise';
      const weight = sliceView(host, [Number(cout), separable ? 1 : Number(cin), K, K]);
      const x = tape.requireGrad(of.upload('x'));
      const y = (separable ? depthwise : conv2d)(tape, x, weight, { stride: Number(stride), padding: Number(padding) });
      tape.backward(y, of.upload('gy'));
      return { y, gx: tape.gradient(x) as Tensor, gweight: host.grad as Tensor };
    },
    () => 1e-4,
  );

const normalization: Run = async (of) => {
  const momentum = Number(of.attributes.momentum);
  const eps = Number(of.attributes.eps);
  const gradiented = (name: string): Tensor => ({ ...of.upload(name), grad: of.filled(`g${name}`, of.shape(name)) });
  const statistics = () => ({ runningMean: of.upload('running_mean'), runningVar: of.upload('running_var') });
  return compare(
    of,
    (tape) => {
      const [gamma, beta] = [gradiented('gamma'), gradiented('beta')];
      const moving = statistics();
      const x = tape.requireGrad(of.upload('x'));
      const y = batchnorm(tape, x, { gamma, beta, ...moving }, { training: true, momentum, eps });
      tape.backward(y, of.upload('gy'));
      const still = { gamma, beta, ...statistics() };
      return {
        y,
        gx: tape.gradient(x) as Tensor,
        ggamma: gamma.grad as Tensor,
        gbeta: beta.grad as Tensor,
        running_mean_after: moving.runningMean,
        running_var_after: moving.runningVar,
        y_eval: batchnorm(tape, x, still, { training: false, momentum, eps }),
      };
    },
    (what) => (what === 'gx' ? 1e-3 : 1e-4),
  );
};

const loss: Run = async (of) => {
  const options = { lambda: Number(of.attributes.lam), eps: Number(of.attributes.eps) };
  const checks: Check[] = [];
  for (const form of ['gram', 'direct'] as const) {
    const found = await compare(
      of,
      (tape) => {
        const [za, zb] = [tape.requireGrad(of.upload('za')), tape.requireGrad(of.upload('zb'))];
        const result = crossCorrelation(tape, za, zb, { scale: 1, ...options, form });
        tape.backward(result.loss, of.filled('dloss', [1], 1));
        const { on, off, loss } = result;
        const { eps } = options;
        const c =
          of.has('c') &&
          correlation(tape.plan, standardize(tape.plan, za, { eps }), standardize(tape.plan, zb, { eps }));
        return { on, off, loss, ...(c && { c }), gza: tape.gradient(za) as Tensor, gzb: tape.gradient(zb) as Tensor };
      },
      (what) => (what.startsWith('g') ? 1e-3 : 1e-4),
    );
    checks.push(...found.map((check) => ({ ...check, what: `${check.what} (${form})` })));
  }
  return checks;
};

const elementwise: Run = (of) =>
  compare(
    of,
    (tape) => {
      const x = tape.requireGrad(of.upload('x'));
      const y = activation(tape, x, of.attributes.op as Activation);
      tape.backward(y, of.upload('gy'));
      return { y, gx: tape.gradient(x) as Tensor };
    },
    () => 1e-5,
  );

const runs: Readonly<Record<string, Run>> = {
  conv2d: convolution,
  batchnorm: normalization,
  crosscorrelation: loss,
  trajectory,
  relu: elementwise,
  relu6: elementwise,
  hardswish: elementwise,
  hardsigmoid: elementwise,
  silu: elementwise,
  sigmoid: elementwise,
};

/**
 * Runs one reference case: a safetensors file whose metadata says what it is. An unknown kind is an error.
 *
 * @param open the bytes of a file beside it, by name: a case of an encoder names the file of its weights
 */
export async function runCase(
  device: Device,
  name: string,
  bytes: Uint8Array,
  open: (name: string) => Uint8Array | Promise<Uint8Array>,
): Promise<Check[]> {
  const file: Safetensors = readSafetensors(bytes, name);
  const { op, state } = file.metadata;
  const run = op === 'encoder' ? async (of: Case) => encoder(of, readSafetensors(await open(state), state)) : runs[op];
  if (!run) throw new Error(`unknown kind of case: op=${op}`);
  const buffers: GPUBuffer[] = [];
  const make = (label: string, shape: readonly number[], data: Float32Array<ArrayBuffer>): Tensor => {
    const buffer = device.buffer(label, data.byteLength);
    buffers.push(buffer);
    device.write(buffer, data);
    return tensor(buffer, label, shape);
  };
  const stored = (key: string) => {
    const found = file.tensors.get(key);
    if (!(found?.data instanceof Float32Array)) throw new Error(`expected an F32 tensor ${key}`);
    return { shape: found.shape, data: found.data as Float32Array<ArrayBuffer> };
  };
  try {
    return await run({
      device,
      attributes: file.metadata,
      values: (key) => stored(key).data,
      shape: (key) => stored(key).shape,
      has: (key) => file.tensors.has(key),
      upload: (key, shape = stored(key).shape) => make(key, shape, stored(key).data),
      filled: (label, shape, fill = 0) => make(label, shape, new Float32Array(numel(shape)).fill(fill)),
    });
  } finally {
    for (const buffer of buffers) device.free(buffer);
  }
}

/** The check that is worst against its tolerance. */
export function worst(checks: readonly Check[]): Check {
  return checks.reduce((a, b) => (b.error / b.tolerance > a.error / a.tolerance ? b : a));
}
