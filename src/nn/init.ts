import type { Random } from '../parameters.js';

/** A standard normal number (Box and Muller). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Normal, of mean 0. */
export const gaussian = (deviation: number) => (random: Random) => normal(random) * deviation;

/** Kaiming normal for ReLU: mean 0, variance 2 / fanOut. A depthwise filter's fan-out is its own K². */
export const kaimingNormal = (fanOut: number) => gaussian(Math.sqrt(2 / fanOut));

/** PyTorch's start for a Linear: uniform within ±1/√fanIn. */
export const uniformFanIn = (fanIn: number) => (random: Random) => (2 * random() - 1) / Math.sqrt(fanIn);

export const constant = (value: number) => () => value;
