import { ConfigError } from '../errors.js';
import { meant } from './nearest.js';
import { textOf } from './text_of.js';

/** What `typeof` says of a value, lists apart; 'any' of one that may be of several kinds, which the function itself checks. */
type Kind = 'number' | 'boolean' | 'string' | 'object' | 'array' | 'function' | 'any';

type KindOf<V> = V extends number
  ? 'number'
  : V extends boolean
    ? 'boolean'
    : V extends string
      ? 'string'
      : V extends (...args: never) => unknown
        ? 'function'
        : V extends readonly unknown[]
          ? 'array'
          : 'object';

/** The options that a function knows, each with the kind of its value; TypeScript asks for every key of T, and for no other. */
export type Kinds<T> = { readonly [K in keyof T]-?: KindOf<NonNullable<T[K]>> | 'any' };

/**
 * Returns the options if all keys are known and of the right kind; undefined counts as not given.
 *
 * @param where what is called, for the message
 * @throws ConfigError where they are no object, one is not known, or is of another kind: a number where an object belongs, null
 */
export function expectOptions<T extends object>(
  where: string,
  options: T,
  kinds: Kinds<T> & Readonly<Record<string, Kind>>,
): T {
  const known = Object.keys(kinds);
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw new ConfigError(`${where}: expected options { ${known.join(', ')} }, got ${textOf(options)}`);
  const given: [string, unknown][] = Object.entries(options);
  for (const [name, value] of given) {
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (!kind) throw new ConfigError(`${where}: unknown option '${name}': ${meant(name, known)}`);
    if (value === undefined || kind === 'any') continue;
    if ((Array.isArray(value) ? 'array' : typeof value) !== kind || value === null)
      throw new ConfigError(
        `${where}: expected ${name} to be ${/^[ao]/.test(kind) ? 'an' : 'a'} ${kind}, got ${textOf(value)}`,
      );
  }
  return options;
}

/** Options over defaults; one that is undefined takes its default. */
export function withDefaults<D extends object, O extends object>(defaults: D, options: O): D & O {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) } as D & O;
}
