import { ConfigError } from '../errors.js';
import { type Layout, pack } from './kernel.js';

/** The scalars that change from step to step. Every kernel that reads them declares this struct as `step`. */
export interface StepScalars {
  step: number;
  seed: number;
  lr: number;
  /** 1 − β₁ᵗ and 1 − β₂ᵗ of Adam. */
  bias1: number;
  bias2: number;
  /** m of a moving average of weights, m·average + (1 − m)·weights; 1 leaves the average as it is. */
  ema: number;
}

/** Where a run writes them. */
export const stepLayout: Layout = {
  size: 32,
  fields: {
    step: ['u32', 0],
    seed: ['u32', 4],
    lr: ['f32', 8],
    bias1: ['f32', 12],
    bias2: ['f32', 16],
    ema: ['f32', 20],
  },
};

export const scalarBytes = stepLayout.size;

const fits: Readonly<Record<keyof StepScalars, readonly [what: string, fits: (value: number) => boolean]>> = {
  step: ['a whole number from 0 to 2³² − 1', (value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32],
  seed: ['a whole number from 0 to 2³² − 1', (value) => Number.isInteger(value) && value >= 0 && value < 2 ** 32],
  lr: ['a number of at least 0', (value) => value >= 0 && value < Number.POSITIVE_INFINITY],
  bias1: ['a number above 0 and at most 1', (value) => value > 0 && value <= 1],
  bias2: ['a number above 0 and at most 1', (value) => value > 0 && value <= 1],
  ema: ['a number from 0 to 1', (value) => value >= 0 && value <= 1],
};

/**
 * The struct as the shader reads it; what is left out is as in a step that changes nothing.
 *
 * @throws ConfigError where one is unknown or out of range
 */
export function packScalars(scalars: Partial<StepScalars>, label: string): ArrayBuffer {
  for (const [name, value] of Object.entries(scalars)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(fits, name))
      throw new ConfigError(`${label}: expected ${Object.keys(fits).join(', ')} of a step, got ${name}`);
    const [what, holds] = fits[name as keyof StepScalars];
    if (!holds(value)) throw new ConfigError(`${label}: expected ${name} to be ${what}, got ${value}`);
  }
  const { step = 0, seed = 0, lr = 0, bias1 = 1, bias2 = 1, ema = 1 } = scalars;
  return pack(stepLayout, { step, seed, lr, bias1, bias2, ema }, label);
}
