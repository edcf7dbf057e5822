// MethodSpec: title, networks and settings of a method as data, of which flags, reports and costs are made (src/config/methods.ts);
// and the check of the settings that a program gives.

import { expectOneOf } from '../checks/one_of.js';
import { expectOptions } from '../checks/options.js';
import { expectWithin, type Range } from '../checks/range.js';
import { textOf } from '../checks/text_of.js';
import { slicingOptions } from '../core/parameters.js';
import { checkEncoder, type Encoder } from '../encoders/encoder.js';
import { ConfigError } from '../errors.js';

/** The settings of methods and their ranges; a name has the same meaning in every method. */
export const settingRanges = {
  projector: { min: 2, max: 65536, whole: true },
  embedding: { min: 2, max: 65536, whole: true },
  alpha: { min: 0, max: 1 },
  lambda: { min: 0 },
  scale: { above: 0 },
  temperature: { above: 0 },
  teacherTemperature: { above: 0 },
  queue: { min: 1, max: 2 ** 20, whole: true },
  ema: { min: 0, below: 1 },
  neighbors: { min: 1, max: 64, whole: true },
  prototypes: { min: 2, max: 65536, whole: true },
  epsilon: { above: 0 },
  sinkhorn: { min: 1, max: 100, whole: true },
} as const satisfies Readonly<Record<string, Range>>;

/** The name of a numeric setting of methods. */
export type MethodSetting = keyof typeof settingRanges;

/** A number, or a function of the length F of the encoder's features and the settings above. */
export type Default =
  | number
  | ((of: { readonly features: number } & Readonly<Partial<Record<MethodSetting, number>>>) => number);

/** F: the default of a hidden layer that is as wide as the encoder's features. */
export const asFeatures: Default = ({ features }) => features;

/** A network that a method passes images through. `teacher` is a trained encoder, or the wide one that `rekd` and `oss` train along. */
export type Role = 'host' | 'slim' | 'teacher';

/** Passes of an image through a network per step: with a backward, and without. */
export interface Passes {
  readonly trained?: number;
  readonly frozen?: number;
}

/** A method described as data, so that code that only reads settings does not load its kernels. */
export interface MethodSpec {
  /** The name that its authors use. */
  readonly title: string;
  /** What it trains: one encoder, a host and the slim encoder that is a slice of it, or a small encoder and a wide one. */
  readonly networks: 'one' | 'sliced' | 'two';
  /** Whether it learns from a trained encoder. */
  readonly teacher?: true;
  /** By network; a method with one encoder trains it at the slim width. */
  readonly passes: { readonly [R in Role]?: Passes };
  /** The source of the embeddings zA and zB, whose correlation a report plots. */
  readonly compared: readonly [zA: string, zB: string];
  /** What it is set by besides numbers: the values of each, the default first. */
  readonly choices?: Readonly<Record<string, readonly string[]>>;
  /** The numbers that it has. */
  readonly defaults: { readonly [K in MethodSetting]?: Default };
}

/** The settings of a method, with its numeric ones. */
type Settled<G, M extends MethodSpec> = G & { readonly [K in keyof M['defaults']]: number };

/**
 * A method's settings, checked and completed by defaults.
 *
 * @param where the method's name, for the message
 * @throws ConfigError if the encoder is invalid, or a setting is unknown, of another type or out of range
 */
export function settle<G extends object, M extends MethodSpec>(
  where: string,
  encoder: Encoder,
  given: G,
  { defaults, choices = {}, networks, teacher }: M,
): Settled<G, M> {
  checkEncoder(where, encoder);
  const kinds = {
    ...Object.fromEntries(Object.keys(defaults).map((name) => [name, 'number' as const])),
    ...Object.fromEntries(Object.keys(choices).map((name) => [name, 'string' as const])),
    ...(networks === 'sliced' && slicingOptions),
    ...(teacher && { teacher: 'object' as const }),
  };
  expectNumbers(where, expectOptions<object>(where, given, kinds));
  for (const [name, values] of Object.entries(choices))
    expectOneOf(`${where}: ${name}`, Reflect.get(given, name) ?? values[0], values);
  if ('teacher' in given && given.teacher !== undefined) expectTeacher(where, given.teacher);
  const features = encoder.features.slim;
  const settled: Partial<Record<MethodSetting, number>> = { ...given };
  for (const [name, standard] of Object.entries(defaults) as [MethodSetting, Default][])
    settled[name] ??= typeof standard === 'function' ? standard({ ...settled, features }) : standard;
  return settled as Settled<G, M>;
}

/** @throws ConfigError if the wide encoder of a two-encoder method is invalid */
export function expectWide(where: string, wide: Encoder): void {
  checkEncoder(`${where}: wide`, wide);
}

/** Rejects numbers outside the range of their setting. */
export function expectNumbers(where: string, settings: object): void {
  for (const [name, range] of Object.entries(settingRanges)) {
    const value: unknown = Reflect.get(settings, name);
    if (value !== undefined) expectWithin(where, name, value, range);
  }
}

function expectTeacher(where: string, teacher: unknown): void {
  const { backbone, parameters } = Object(teacher);
  if (typeof parameters?.read !== 'function')
    throw new ConfigError(
      `${where}: expected teacher to be an opened encoder, as openEncoder() gives one, got ${textOf(teacher)}` +
        `${textOf(teacher) === 'a promise' ? '; await it' : ''}`,
    );
  checkEncoder(`${where}: teacher`, backbone);
}
