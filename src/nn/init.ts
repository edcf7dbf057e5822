import type { Random } from '../core/parameters.js';

/** A standard normal number (Box and Muller), from uniform draws of `random` in [0, 1). */
export function standardNormal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Normal with mean 0: an initializer for `parameter`. */
export const normal = (deviation: number) => (random: Random) => standardNormal(random) * deviation;

/** Kaiming normal for ReLU: mean 0, variance 2 / fanOut. A depthwise filter's fan-out is its own K². */
export const kaimingNormal = (fanOut: number) => normal(Math.sqrt(2 / fanOut));

/** PyTorch's initialization of Linear: uniform within ±1/√fanIn. */
export const uniformFanIn = (fanIn: number) => (random: Random) => (2 * random() - 1) / Math.sqrt(fanIn);

/** Constant, such as 1 and 0 of a batchnorm. */
export const constant = (value: number) => () => value;
