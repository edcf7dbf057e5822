import { ConfigError } from '../errors.js';

/** Refuses what is none of the known values: `activation: expected one of none, relu, …, got gelu`. */
export function expectOneOf(what: string, value: unknown, known: readonly unknown[]): void {
  if (!known.includes(value)) throw new ConfigError(`${what}: expected one of ${known.join(', ')}, got ${value}`);
}
