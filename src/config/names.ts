import { meant, nearest } from '../checks/nearest.js';
import { ConfigError } from '../errors.js';

export { nearest };

/** The error for a name that is not among `names`. */
export function unknown(kind: string, given: string, names: readonly string[]): ConfigError {
  return new ConfigError(`unknown ${kind} '${given}': ${meant(given, names)}`);
}
