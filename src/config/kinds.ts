// The kinds of settings (numbers, choices, switches, …): how each is read from text, checked and described.
import { fitsF32, isWithin, type Range, rangeText } from '../checks/range.js';
import type { SliceMode } from '../core/channel_selection.js';
import type { Block } from '../encoders/mobilenet_v1.js';
import type { EncoderName } from './encoders.js';
import type { MethodName } from './methods.js';

/** Everything that is known about a setting: a row of the table in settings.ts. */
export interface Setting<T> extends Options {
  doc: string;
  default: Default<T>;
  /** Placeholder of the value in help text; a switch has none. */
  value: string;
  /** Description of accepted values, as in "expected ...". */
  expected: string;
  /** The stored value, or undefined if `raw` is invalid. */
  accept(raw: unknown): T | undefined;
  /** The JSON value of a command line's text. */
  fromText(text: string): unknown;
}

export interface Options {
  /** Replaces a computed default in help. */
  shown?: string;
  /** What to do about an invalid value. */
  remedy?: string;
  /** Only these choices of another setting use the setting; with others it is rejected. */
  only?: { key: keyof Choices; values: readonly Choices[keyof Choices][] };
}

type Default<T> = T | typeof required | ((above: Settled) => T);
/** Values of the settings above, for a computed default. */
export type Settled = Readonly<Record<string, unknown>>;
export interface Choices {
  encoder: EncoderName;
  method: MethodName;
  optimizer: (typeof optimizers)[number];
  slice: SliceMode;
  views: (typeof viewPairs)[number];
}

export const required = Symbol('required');
export const optimizers = ['lars', 'sgd', 'adamw'] as const;
/** What views A and B are: both random, or A the image as evaluation sees it. */
export const viewPairs = ['both', 'clean-edited'] as const;

export function number<T extends number | null = number>(
  doc: string,
  standard: Default<NoInfer<T>>,
  options: Options & Range = {},
): Setting<T> {
  const { min, max, above, below, whole, ...rest } = options;
  const range = { min, max, above, below, whole };
  return {
    ...rest,
    doc,
    default: standard,
    value: whole ? 'N' : 'NUMBER',
    expected: rangeText(range),
    accept: (raw) => (isWithin(raw, range) ? (raw as T) : undefined),
    fromText: asNumber,
  };
}

/** One number or several, separated by commas. */
export function numbers(
  doc: string,
  standard: readonly number[],
  options: Options & Range = {},
): Setting<readonly number[]> {
  const one = number(doc, 0, options);
  const list = (raw: unknown) => (Array.isArray(raw) ? raw : [raw]).map((value) => one.accept(value));
  return {
    ...one,
    default: standard,
    shown: standard.join(','),
    value: 'NUMBER,...',
    expected: one.expected.replace('a number', 'one number or several, separated by commas,'),
    accept(raw) {
      const found = list(raw);
      return found.length > 0 && found.every((value) => value !== undefined) ? found : undefined;
    },
    fromText: (given) => given.split(',').map(asNumber),
  };
}

/** Two different numbers, separated by a comma; default null. */
export function range(doc: string, value: string, options: Options = {}): Setting<readonly [number, number] | null> {
  const isEnd = (end: unknown) => typeof end === 'number' && fitsF32(end);
  return {
    ...options,
    doc,
    default: null,
    value,
    expected: 'two different numbers, separated by a comma, as 0,4095',
    accept(raw) {
      if (!Array.isArray(raw) || raw.length !== 2 || !raw.every(isEnd) || raw[0] === raw[1]) return undefined;
      return Object.freeze([raw[0], raw[1]] as const);
    },
    fromText: (given) => given.split(',').map(asNumber),
  };
}

export function integer<T extends number | null = number>(
  doc: string,
  standard: Default<NoInfer<T>>,
  options: Options & Range & { min: number },
): Setting<T> {
  return number(doc, standard, { ...options, whole: true });
}

export function choice<const C extends string | null>(
  doc: string,
  standard: Default<NoInfer<C>>,
  choices: readonly NonNullable<C>[],
  options: Options = {},
): Setting<C> {
  return {
    ...options,
    doc,
    default: standard,
    value: choices.join('|'),
    expected: choices.length === 1 ? `'${choices[0]}'` : `one of ${choices.join(', ')}`,
    accept: (raw) => choices.find((c) => c === raw),
    fromText: (text) => text,
  };
}

export function text<T extends string | null = string>(
  doc: string,
  standard: Default<NoInfer<T>>,
  value: string,
  options: Options = {},
): Setting<T> {
  return {
    ...options,
    doc,
    default: standard,
    value,
    expected: 'a non-empty string',
    accept: (raw) => (typeof raw === 'string' && raw.trim() !== '' ? (raw as T) : undefined),
    fromText: (given) => given,
  };
}

export function toggle(doc: string, standard: Default<boolean>, options: Options = {}): Setting<boolean> {
  return {
    ...options,
    doc,
    default: standard,
    value: '',
    expected: 'true or false',
    accept: (raw) => (typeof raw === 'boolean' ? raw : undefined),
    fromText: (given) => (given === 'true' ? true : given === 'false' ? false : given),
  };
}

/** Output channels at base width 1, and stride, of each depthwise-separable block. */
export type Blocks = readonly Block[];

export function blockList(doc: string, options: Options): Setting<Blocks | null> {
  const isBlock = (part: unknown): part is [number, number] =>
    Array.isArray(part) &&
    part.length === 2 &&
    Number.isInteger(part[0]) &&
    part[0] >= 1 &&
    part[0] <= 65536 &&
    (part[1] === 1 || part[1] === 2);
  return {
    ...options,
    doc,
    default: null,
    value: '"64/1 128/2 ..."',
    expected: 'a list of 1 to 64 CHANNELS/STRIDE, as "64/1 128/2", strides 1 or 2',
    accept(raw) {
      const words = typeof raw === 'string' ? raw.trim().split(/[\s,]+/) : undefined;
      const parts: unknown = words?.map((word) => word.split('/').map(Number)) ?? raw;
      if (!Array.isArray(parts) || parts.length === 0 || parts.length > 64 || !parts.every(isBlock)) return undefined;
      return Object.freeze(parts.map(([channels, stride]) => Object.freeze([channels, stride] as const)));
    },
    fromText: (given) => given,
  };
}

function asNumber(given: string): unknown {
  return given.trim() === '' || Number.isNaN(Number(given)) ? given : Number(given);
}

export function probability(what: string, standard: Default<number>, options: Options = {}): Setting<number> {
  return number(`probability of ${what}`, standard, { min: 0, max: 1, ...options });
}
