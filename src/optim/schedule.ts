import { ConfigError } from '../errors.js';

export interface ScheduleOptions {
  /** Learning rate for a batch of 256; the peak is lr · batch / 256. */
  lr: number;
  batch: number;
  /** Steps in all. */
  steps: number;
  /** Steps of linear warm-up, from `start` to the peak. */
  warmup: number;
  /** Where the warm-up starts; never above the peak. */
  start?: number;
}

/** The learning rate of each step, counted from 0: linear warm-up, then half a cosine that reaches 0 after the last step. */
export function warmupCosine({ lr, batch, steps, warmup, start = 3e-5 }: ScheduleOptions): (step: number) => number {
  if (!(lr >= 0)) throw new ConfigError(`schedule: expected lr of at least 0, got ${lr}`);
  if (!(batch > 0)) throw new ConfigError(`schedule: expected a batch above 0, got ${batch}`);
  if (!(Number.isInteger(warmup) && warmup >= 0 && warmup <= steps))
    throw new ConfigError(`schedule: expected a whole number of warm-up steps from 0 to ${steps}, got ${warmup}`);
  const peak = (lr * batch) / 256;
  const first = Math.min(start, peak);
  return (step) => {
    if (step < warmup) return first + ((peak - first) * step) / warmup;
    const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
    return (peak / 2) * (1 + Math.cos(Math.PI * progress));
  };
}

/** The warm-up where none is asked for: ten epochs, but at most a tenth of all steps. */
export function defaultWarmup(steps: number, stepsPerEpoch: number): number {
  return Math.floor(Math.min(10 * stepsPerEpoch, steps / 10));
}
