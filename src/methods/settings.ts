// What methods are told: what each number may be, said once for them and for the command line, and the check of what is given.

import { expectOptions, type Kinds } from '../checks/options.js';
import { expectWithin, type Range } from '../checks/range.js';
import { textOf } from '../checks/text_of.js';
import { checkEncoder, type Encoder } from '../encoders/encoder.js';
import { ConfigError } from '../errors.js';

export type { Kinds };

/** By the names of settings, which mean the same in every method that has them. */
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
  neighbours: { min: 1, max: 64, whole: true },
  prototypes: { min: 2, max: 65536, whole: true },
  epsilon: { above: 0 },
  sinkhorn: { min: 1, max: 100, whole: true },
  distilEpochs: { min: 0, max: 1e6, whole: true },
} as const satisfies Readonly<Record<string, Range>>;

/**
 * Gives a method's settings back where they are right, and its encoder is one.
 *
 * @param where the method's name, for the message
 * @throws ConfigError where a setting is not known, of another kind or out of range
 */
export function expectSettings<T extends object>(where: string, encoder: Encoder, settings: T, kinds: Kinds<T>): T {
  checkEncoder(where, encoder);
  expectNumbers(where, expectOptions(where, settings, kinds));
  if ('teacher' in settings && settings.teacher !== undefined) expectTeacher(where, settings.teacher);
  return settings;
}

/** @throws ConfigError where the wide encoder of a method of two is none */
export function expectWide(where: string, wide: Encoder): void {
  checkEncoder(`${where}: wide`, wide);
}

/** Refuses numbers that are out of the range that their names have. */
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
