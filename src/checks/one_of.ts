import { ConfigError } from '../errors.js';
import { textOf } from './text_of.js';

/** Refuses what is none of the known values: `activation: expected one of none, relu, …, got gelu`. */
export function expectOneOf(what: string, value: unknown, known: readonly unknown[]): void {
  if (!known.includes(value))
    throw new ConfigError(`${what}: expected one of ${known.join(', ')}, got ${textOf(value)}`);
}

/** Refuses what is no number, infinite, or below the least one. */
export function expectFinite(what: string, value: number, least = Number.NEGATIVE_INFINITY): void {
  if (!(Number.isFinite(value) && value >= least))
    throw new ConfigError(
      `${what}: expected a finite number${least > Number.NEGATIVE_INFINITY ? ` of at least ${least}` : ''}, got ${textOf(value)}`,
    );
}
