// What numbers may be: said once, for options, for settings and for the command line.
import { ConfigError } from '../errors.js';
import { textOf } from './text_of.js';

export interface Range {
  readonly min?: number;
  readonly max?: number;
  /** As min and max, themselves excluded. */
  readonly above?: number;
  readonly below?: number;
  readonly whole?: boolean;
}

/** Whether kernels, which count in f32, see `value` neither as infinite nor, where it is not, as 0. */
export function fitsF32(value: number): boolean {
  const seen = Math.fround(value);
  return Number.isFinite(seen) && (seen !== 0 || value === 0);
}

/** Whether a value is a number of the range. */
export function isWithin(value: unknown, range: Range): value is number {
  if (typeof value !== 'number' || !(range.whole ? Number.isSafeInteger(value) : fitsF32(value))) return false;
  const { min = value, max = value, above, below } = range;
  return (
    value >= min && value <= max && !(above !== undefined && value <= above) && !(below !== undefined && value >= below)
  );
}

/** Plain words for a range, as in "expected ...": `a whole number from 1 to 100`. */
export function rangeText({ min, max, above, below, whole }: Range): string {
  const limits = [
    min !== undefined && max !== undefined && `from ${min} to ${max}`,
    min !== undefined && max === undefined && `of at least ${min}`,
    min === undefined && max !== undefined && `of at most ${max}`,
    above !== undefined && `above ${above}`,
    below !== undefined && `below ${below}`,
  ];
  const kind = whole ? 'a whole number' : 'a number';
  return [kind, limits.filter(Boolean).join(' and ')].filter(Boolean).join(' ');
}

/** @throws ConfigError, in the name of `where`, where an option or setting is no number of the range */
export function expectWithin(where: string, name: string, value: unknown, range: Range): void {
  if (!isWithin(value, range))
    throw new ConfigError(`${where}: expected ${name} to be ${rangeText(range)}, got ${textOf(value)}`);
}
