import { ConfigError } from '../errors.js';
import { nearest } from '../runtime/nearest.js';

export { nearest };

/** The error for a name that is not among `names`. */
export function unknown(kind: string, given: string, names: readonly string[]): ConfigError {
  const close = nearest(given, names);
  return new ConfigError(
    `unknown ${kind} '${given}': ${close ? `did you mean '${close}'?` : `expected one of ${names.join(', ')}`}`,
  );
}
