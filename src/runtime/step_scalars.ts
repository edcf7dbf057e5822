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

const layout: Layout = {
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

export const scalarBytes = layout.size;

/** The struct as the shader reads it; what is left out is as in a step that changes nothing. */
export function packScalars(
  { step = 0, seed = 0, lr = 0, bias1 = 1, bias2 = 1, ema = 1 }: Partial<StepScalars>,
  label: string,
): ArrayBuffer {
  return pack(layout, { step, seed, lr, bias1, bias2, ema }, label);
}
