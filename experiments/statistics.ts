import { isRefused } from './experiment.js';
import { type Line, lineOf, type Scores } from './results.js';
import type { Row } from './rows.js';

export type Measure = keyof Scores;

/** The lines of a row by seed, and why there are none of some. */
export interface Found {
  readonly lines: ReadonlyMap<number, Line>;
  readonly errors: readonly string[];
}

/** What has been measured of a row. */
export function foundOf({ planned }: Row, byKey: ReadonlyMap<string, Line>): Found {
  const lines = new Map<number, Line>();
  const errors = new Set<string>();
  for (const [i, experiment] of planned.entries()) {
    if (isRefused(experiment)) errors.add(experiment.error);
    else {
      const line = lineOf(byKey, experiment);
      if (line?.scores) lines.set(i, line);
      else if (line?.error) errors.add(line.error);
    }
  }
  return { lines, errors: [...errors] };
}

/** Mean and standard deviation (by n − 1); no deviation of a single value. */
export function spread(values: readonly number[]): { mean: number; deviation?: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length < 2) return { mean };
  return { mean, deviation: Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1)) };
}

/** Standard error of a share `p` that was counted on `n` things. */
export function samplingError(p: number, n: number): number {
  return Math.sqrt((p * (1 - p)) / n);
}

/** How far one row is ahead of another, over the seeds that both have. */
export interface Difference {
  readonly seeds: number;
  readonly mean: number;
  /** Standard error: what the seeds scatter by, or what the count of test images allows, whichever is more. */
  readonly error: number;
}

export function differenceOf(a: Found, b: Found, measure: Measure): Difference | undefined {
  const pairs = [...a.lines].flatMap(([seed, line]) => {
    const other = b.lines.get(seed);
    const [x, y] = [line.scores?.[measure], other?.scores?.[measure]];
    return x === undefined || y === undefined ? [] : [{ x, y, n: countOf(line, measure) }];
  });
  if (pairs.length === 0) return undefined;
  const { mean, deviation = 0 } = spread(pairs.map(({ x, y }) => x - y));
  const counted = pairs.reduce((sum, { x, y, n }) => sum + samplingError(x, n) ** 2 + samplingError(y, n) ** 2, 0);
  const error = Math.max(deviation / Math.sqrt(pairs.length), Math.sqrt(counted) / pairs.length);
  return { seeds: pairs.length, mean, error };
}

/** On how many things a share was counted. */
export function countOf({ tested }: Line, measure: Measure): number {
  const { images = 1, pairs } = tested ?? {};
  return (measure === 'top1' || measure === 'top5' ? pairs : images) ?? images;
}
