import type { Random } from '../core/parameters.js';

/** A number of the standard normal distribution (Box and Muller), from one that `random` draws in [0, 1) or two. */
export function standardNormal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Normal, of mean 0: a start for a `parameter`. */
export const normal = (deviation: number) => (random: Random) => standardNormal(random) * deviation;

/** Kaiming normal for ReLU: mean 0, variance 2 / fanOut. A depthwise filter's fan-out is its own K². */
export const kaimingNormal = (fanOut: number) => normal(Math.sqrt(2 / fanOut));

/** PyTorch's start for a Linear: uniform within ±1/√fanIn. */
export const uniformFanIn = (fanIn: number) => (random: Random) => (2 * random() - 1) / Math.sqrt(fanIn);

/** The same number everywhere, as 1 and 0 of a batchnorm. */
export const constant = (value: number) => () => value;
