// What a function with options is to a test of them: how its messages begin, which values are right, and how it is called.
import type { Parameters } from '../../src/core/parameters.js';
import type { Device } from '../../src/runtime/device.js';
import type { Plan } from '../../src/runtime/plan.js';

/** Whether a value is right for an option. */
export type Fits = (value: unknown) => boolean;

export const number =
  (least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY): Fits =>
  (value) =>
    typeof value === 'number' && Number.isFinite(value) && value >= least && value <= most;
export const whole =
  (least: number, most?: number): Fits =>
  (value) =>
    number(least, most)(value) && Number.isInteger(value);
export const above =
  (least: number): Fits =>
  (value) =>
    number()(value) && (value as number) > least;
/** Infinity too: what it divides is then 0. */
export const above0: Fits = (value) => typeof value === 'number' && value > 0;
export const atLeast0: Fits = (value) => typeof value === 'number' && value >= 0;
export const below =
  (most: number): Fits =>
  (value) =>
    number(0)(value) && (value as number) < most;
export const flag: Fits = (value) => typeof value === 'boolean';
export const oneOf =
  (...names: readonly string[]): Fits =>
  (value) =>
    names.includes(value as string);
/** What several kinds of value are right for, or what is not looked at on the way in. */
export const anything: Fits = () => true;
/** Nothing of what is made up. */
export const never: Fits = () => false;
export const text: Fits = (value) => typeof value === 'string';
export const object: Fits = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
/** An object of texts. */
export const names: Fits = (value) => object(value) && Object.values(value as object).every(text);
export const callback: Fits = (value) => typeof value === 'function';
export const activation = oneOf('none', 'relu', 'relu6', 'silu', 'sigmoid', 'hardswish', 'hardsigmoid');

/** Where a door is called. */
export interface At {
  readonly plan: Plan;
  readonly device: Device;
  /** Of one weight (4, 4). */
  readonly parameters: Parameters;
}

export interface Door {
  /** What its messages begin with. */
  readonly where: RegExp;
  readonly options: Readonly<Record<string, Fits>>;
  /** Calls it; right options that have to be there are put under those given. */
  // biome-ignore lint/suspicious/noExplicitAny: a program without types gives anything
  readonly call: (at: At, options: any) => unknown;
}

/** Options over right ones that have to be there; what is none stays what it is. */
export const given = (options: unknown, base: object) =>
  typeof options === 'object' && options !== null && !Array.isArray(options) ? { ...base, ...options } : options;

export const channels = { host: 4, slim: 4 };
