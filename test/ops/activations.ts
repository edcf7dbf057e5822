/** f64 references of the activations and of their slopes, shared by the tests of those ops that apply one. */
import type { Activation } from '../../src/ops/activation.js';

const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));

export const value: Record<Activation, (v: number) => number> = {
  none: (v) => v,
  relu: (v) => Math.max(v, 0),
  relu6: (v) => Math.min(Math.max(v, 0), 6),
  hardswish: (v) => (v * Math.min(Math.max(v + 3, 0), 6)) / 6,
  hardsigmoid: (v) => Math.min(Math.max(v + 3, 0), 6) / 6,
  silu: (v) => v * sigmoid(v),
  sigmoid,
};

export const slope: Record<Activation, (v: number) => number> = {
  none: () => 1,
  relu: (v) => (v > 0 ? 1 : 0),
  relu6: (v) => (v > 0 && v < 6 ? 1 : 0),
  hardswish: (v) => (v <= -3 ? 0 : v >= 3 ? 1 : v / 3 + 0.5),
  hardsigmoid: (v) => (v > -3 && v < 3 ? 1 / 6 : 0),
  silu: (v) => sigmoid(v) * (1 + v * (1 - sigmoid(v))),
  sigmoid: (v) => sigmoid(v) * (1 - sigmoid(v)),
};

/** Where the slope jumps. */
export const kinks: Partial<Record<Activation, readonly number[]>> = {
  relu: [0],
  relu6: [0, 6],
  hardswish: [-3, 3],
  hardsigmoid: [-3, 3],
};

export const names = Object.keys(value) as Activation[];
