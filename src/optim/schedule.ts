/** The learning rate schedule of a run. */
export interface Rates {
  /** Steps in all. */
  readonly steps: number;
  /** Steps of linear warm-up. */
  readonly warmup: number;
  /** Learning rate at the end of warm-up. */
  readonly peak: number;
}

const start = 3e-5;

/** Rate at a step, counted from 0: the peak, a tenth of it after 60 % of the steps, a hundredth after 80 %. */
export function steppedRate(step: number, { steps, peak }: Pick<Rates, 'steps' | 'peak'>): number {
  return step < 0.6 * steps ? peak : step < 0.8 * steps ? peak / 10 : peak / 100;
}

/** Rate at a step, counted from 0: linear warm-up from 3e-5 to the peak, then half a cosine, 0 after the last step. */
export function learningRate(step: number, { steps, warmup, peak }: Rates): number {
  const first = Math.min(start, peak);
  if (step < warmup) return first + ((peak - first) * step) / warmup;
  const progress = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
  return (peak / 2) * (1 + Math.cos(Math.PI * progress));
}

/** EMA momentum at a step, counted from 0: half a cosine from `base` to 1, as for BYOL's target network. */
export function emaMomentum(step: number, { steps, base }: { steps: number; base: number }): number {
  return 1 - ((1 - base) / 2) * (1 + Math.cos(Math.PI * Math.min(1, step / steps)));
}
