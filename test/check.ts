import * as assert from 'uvu/assert';
import { Tape } from '../src/core/tape.js';
import type { Device } from '../src/runtime/device.js';
import { Plan } from '../src/runtime/plan.js';
import { type Binding, bufferOf } from '../src/tensor/binding.js';
import type { DeviceParameter, DeviceTensor } from '../src/tensor/device_tensor.js';
import { numel, selectView, type Tensor } from '../src/tensor/tensor.js';
import { generator, randoms, seed } from './random.js';

type Values = Record<string, Float64Array>;

/** Of a slice's rows and columns: where each lies in the host's. */
export type Kept = readonly [rows?: readonly number[], columns?: readonly number[]];

export interface OpCase {
  /** Activations by name and shape. */
  inputs: Record<string, readonly number[]>;
  /**
   * Parameters: the host's shape, and that of the slice that the op is given (the host's where left out): the rows and columns
   * that `kept` lists, or the leading ones.
   */
  weights?: Record<string, { host: readonly number[]; slim?: readonly number[]; kept?: Kept }>;
  /** Records the op. */
  run(tape: Tape, tensors: Record<string, Tensor>): Tensor;
  /** In f64: the output as `y`, and with `dy` among the values also every gradient as `d` + name. Slices come contiguous. */
  reference(values: Values): Values;
  /** Largest |a − b| / max |b| of a tensor. */
  tolerance?: number;
  /**
   * By name as in `reference`: the largest of the terms that a result adds up, where they may cancel. Rounding follows the terms
   * and not their sum, so the error is measured against them. A parameter's gradient is added to what was there, which counts
   * as a term by itself.
   */
  terms?(values: Values): Record<string, number>;
  variants?: Record<string, string>;
  /** Mean and spread of the inputs. */
  mean?: number;
  spread?: number;
  seed?: number;
}

/** The largest absolute value. */
export const largest = (values: ArrayLike<number>): number =>
  Array.prototype.reduce.call(
    values,
    (most, value) => Math.max(most as number, Math.abs(value as number)),
    0,
  ) as number;

/** max |a − b| / max |b|, or what is larger of that and `terms`; NaN where anything is not a number. */
export function error(a: ArrayLike<number>, b: ArrayLike<number>, terms = 0): number {
  assert.is(a.length, b.length, 'length');
  let worst = 0;
  let scale = terms;
  for (let i = 0; i < b.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= worst)) worst = difference;
    if (Number.isNaN(worst)) return Number.NaN;
    scale = Math.max(scale, Math.abs(b[i]));
  }
  return worst / (scale || 1);
}

/** Fails unless `a` is within `tolerance` of `b`, relative to the largest |b| or to `terms`, see {@link error}. */
export function close(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  what: string,
  tolerance = 1e-5,
  terms?: number,
): void {
  const worst = error(a, b, terms);
  assert.ok(worst <= tolerance, `${what}: error ${worst} over ${tolerance} (seed ${seed})`);
}

type Data = Float32Array<ArrayBuffer>;

/** An f32 tensor with these values in a buffer of its own; a parameter where `gradient` is given, what is there of its gradient. */
export function upload(device: Device, label: string, shape: readonly number[], values: Data): DeviceTensor;
export function upload(
  device: Device,
  label: string,
  shape: readonly number[],
  values: Data,
  gradient: Data,
): DeviceParameter;
export function upload(
  device: Device,
  label: string,
  shape: readonly number[],
  values: Data,
  gradient?: Data,
): DeviceTensor | DeviceParameter;
export function upload(device: Device, label: string, shape: readonly number[], values: Data, gradient?: Data) {
  if (!gradient) return device.tensor(shape, values, { label });
  const made = device.parameter(shape, values, { label });
  made.grad.write(gradient);
  return made;
}

/** Some of `host` channels, `slim` of them, in rising order. */
export function chosen(random: () => number, host: number, slim: number): number[] {
  const all = Array.from({ length: host }, (_, c) => ({ c, by: random() }));
  return all
    .sort((a, b) => a.by - b.by)
    .slice(0, slim)
    .map(({ c }) => c)
    .sort((a, b) => a - b);
}

/** An index list in a buffer of its own. */
export function uploadList(device: Device, list: readonly number[]): Binding {
  const buffer = device.buffer('list', list.length * 4);
  device.write(buffer, Uint32Array.from(list));
  return { storage: buffer, offset: 0, bytes: list.length * 4 };
}

/** Calls `visit(host index, slice index)` for each element of the slice of shape `slim` of a tensor of shape `host`. */
function eachOfSlice(
  host: readonly number[],
  slim: readonly number[],
  kept: Kept,
  visit: (h: number, s: number) => void,
): void {
  for (let s = 0; s < numel(slim); s++) {
    let rest = s;
    let h = 0;
    let stride = 1;
    for (let d = host.length - 1; d >= 0; d--) {
      const at = rest % slim[d];
      h += (kept[d]?.[at] ?? at) * stride;
      rest = Math.floor(rest / slim[d]);
      stride *= host[d];
    }
    visit(h, s);
  }
}

/**
 * Runs an op forward and backward on poisoned memory, twice, and compares all it wrote with the f64 reference.
 * Parameter gradients start from random values: inside the slice the op must add to them, outside leave them alone.
 *
 * @returns the f32 results by name (`y`, `dx`, …), to compare variants with each other.
 */
export async function checkOp(device: Device, name: string, op: OpCase): Promise<Record<string, Float32Array>> {
  const random = generator(op.seed ?? seed);
  const { mean, spread, tolerance } = { mean: 0.3, spread: 1, tolerance: 1e-5, ...op };
  const plan = new Plan(device, { variants: op.variants });
  const tape = new Tape(plan);
  const tensors: Record<string, Tensor> = {};
  const values: Values = {};
  const weights: {
    key: string;
    host: readonly number[];
    slim: readonly number[];
    kept: Kept;
    tensor: Tensor;
    before: Float32Array<ArrayBuffer>;
  }[] = [];
  const buffers: GPUBuffer[] = [];
  try {
    for (const [key, shape] of Object.entries(op.inputs)) {
      const data = randoms(random, numel(shape), mean, spread);
      values[key] = Float64Array.from(data);
      tensors[key] = tape.requireGrad(upload(device, key, shape, data));
    }
    for (const [key, { host, slim = host, ...weight }] of Object.entries(op.weights ?? {})) {
      const kept: Kept = weight.kept ?? [];
      const data = randoms(random, numel(host), 0.2, 1);
      const before = randoms(random, numel(host), -0.4, 1);
      const whole = upload(device, key, host, data, before);
      const slice = new Float64Array(numel(slim));
      eachOfSlice(host, slim, kept, (h, s) => {
        slice[s] = data[h];
      });
      values[key] = slice;
      const [rows, columns] = [0, 1].map((d) => kept[d] && uploadList(device, kept[d]));
      for (const list of [rows, columns]) if (list) buffers.push(bufferOf(list));
      tensors[key] = selectView(whole, slim, { rows, columns });
      weights.push({ key, host, slim, kept, tensor: whole, before });
    }
    for (const t of Object.values(tensors)) buffers.push(bufferOf(t), ...(t.grad ? [bufferOf(t.grad)] : []));

    const y = op.run(tape, tensors);
    plan.retain(y);
    const dyData = randoms(random, numel(y.shape), 0.1, 1);
    const dy = upload(device, 'dy', y.shape, dyData);
    buffers.push(dy.storage);
    if (tape.requiresGrad(y)) tape.backward(y, dy);
    const outputs = new Map<string, Tensor>([['y', y]]);
    for (const key of Object.keys(op.inputs)) {
      const dx = tape.gradient(tensors[key]);
      if (dx) outputs.set(`d${key}`, dx);
    }
    for (const t of outputs.values()) plan.retain(t);
    await plan.compile();

    const runOnce = async () => {
      plan.poison();
      for (const { tensor: whole, before } of weights) device.write(whole.grad as Tensor, before);
      plan.run();
      const results: Record<string, Float32Array> = {};
      for (const [key, t] of outputs) results[key] = (await plan.read(t)).slice(0, numel(t.shape));
      for (const { key, tensor: whole } of weights) results[`d${key}`] = await plan.read(whole.grad as Tensor);
      return results;
    };
    const results = await runOnce();
    const again = await runOnce();

    const known = { ...values, dy: Float64Array.from(dyData) };
    const expected = op.reference(known);
    const terms = op.terms?.(known) ?? {};
    for (const key of Object.keys(expected)) assert.ok(results[key], `${name}: the op wrote no ${key}`);
    for (const [key, result] of Object.entries(results)) {
      assert.equal(
        new Uint32Array(result.buffer),
        new Uint32Array(again[key].buffer),
        `${name}: ${key} repeats bit for bit (seed ${seed})`,
      );
      const weight = weights.find((w) => `d${w.key}` === key);
      let reference = expected[key];
      let most = terms[key] ?? 0;
      assert.ok(reference, `${name}: the reference gives no ${key}`);
      if (weight) {
        reference = Float64Array.from(weight.before);
        eachOfSlice(weight.host, weight.slim, weight.kept, (h, s) => {
          reference[h] += expected[key][s];
          most = Math.max(most, Math.abs(weight.before[h]));
        });
        const inside = new Set<number>();
        eachOfSlice(weight.host, weight.slim, weight.kept, (h) => inside.add(h));
        for (let i = 0; i < result.length; i++)
          if (!inside.has(i))
            assert.is(result[i], weight.before[i], `${name}: ${key}[${i}] is outside the slice (seed ${seed})`);
      }
      close(result, reference, `${name}: ${key}`, tolerance, most);
    }
    return results;
  } finally {
    plan.dispose();
    for (const buffer of buffers) device.free(buffer);
  }
}
