// The scalars that change from step to step (step, seed, lr, …): who provides each, and their bytes.
import { ConfigError, ValidationError } from '../errors.js';
import { type Layout, pack } from './kernel.js';

/** The scalars that change from step to step. Every kernel that reads them declares this struct as `step`. */
export interface StepScalars {
  /** Counted from 0; by default counted by the plan. */
  step: number;
  seed: number;
  lr: number;
  /** 1 − β₁ᵗ and 1 − β₂ᵗ of Adam, which provides them itself. */
  bias1: number;
  bias2: number;
  /** m of a moving average of weights, m·average + (1 − m)·weights; 1 leaves the average as it is. */
  ema: number;
}

/** Their destination in a run. */
export const stepLayout: Layout = {
  size: 32,
  fields: {
    step: ['u32', 0],
    seed: ['u32', 4],
    lr: ['f32', 8],
    bias1: ['f32', 12],
    bias2: ['f32', 16],
    ema: ['f32', 20],
  },
};

export const scalarBytes = stepLayout.size;

type Range = readonly [what: string, fits: (value: number) => boolean];

const count: Range = ['a whole number from 0 to 2³² − 1', (value) => value >= 0 && value === value >>> 0];
const share: Range = ['a number above 0 and at most 1', (value) => value > 0 && value <= 1];
const fits: Readonly<Record<keyof StepScalars, Range>> = {
  step: count,
  seed: count,
  lr: ['a number of at least 0', (value) => value >= 0 && value < Number.POSITIVE_INFINITY],
  bias1: share,
  bias2: share,
  ema: ['a number from 0 to 1', (value) => value >= 0 && value <= 1],
};

/** Computes a scalar of a step from the number of updates before it. */
type Source = (updates: number) => number;

/** The per-step scalars of a plan: counted by the plan, given by its optimizer, or passed to each run. */
export class Scalars {
  /** The number of the next step, counted from 0. */
  next = 0;
  #first = 0;
  readonly #label: string;
  readonly #needs = new Map<keyof StepScalars, string>();
  readonly #sources = new Map<keyof StepScalars, { what: string; of: Source }>();

  constructor(label: string) {
    this.#label = label;
  }

  /** The step that counts as the first update: an optimizer's bias corrections start there. */
  set first(step: number) {
    checkScalars({ step }, this.#label);
    this.#first = step;
  }

  /** Declares these scalars as required. */
  needs(what: string, names: readonly (keyof StepScalars)[]): void {
    for (const name of names) {
      this.#expectOne(name, what, this.#sources.get(name)?.what);
      if (!this.#needs.has(name)) this.#needs.set(name, what);
    }
  }

  /** Provides a scalar that a run does not pass. @throws ValidationError where another source provides it */
  provide(what: string, name: keyof StepScalars, of: Source): void {
    this.#expectOne(name, what, this.#sources.get(name)?.what ?? this.#needs.get(name));
    this.#sources.set(name, { what, of });
  }

  #expectOne(name: string, what: string, other: string | undefined): void {
    if (other !== undefined && other !== what)
      throw new ValidationError(
        `${this.#label}: expected one source of ${name}, got ${other} and ${what}; record them into separate plans`,
      );
  }

  /** What provides a scalar that a run does not pass. */
  sourceOf(name: keyof StepScalars): string | undefined {
    return this.#sources.get(name)?.what;
  }

  /**
   * The struct of the next step as the shader reads it; a scalar that is not given has its neutral value.
   *
   * @throws ValidationError where a required scalar is not given; ConfigError where one is unknown or out of range
   */
  pack(given: Partial<StepScalars>): ArrayBuffer {
    const label = this.#label;
    checkScalars(given, label);
    const step = given.step ?? this.next;
    if (step < this.#first)
      throw new ValidationError(
        `${label}: expected a step from ${this.#first} on, where its updates begin, got ${step}`,
      );
    const scalars: StepScalars = { step, seed: 0, lr: 0, bias1: 1, bias2: 1, ema: 1 };
    for (const [name, { of }] of this.#sources) scalars[name] = of(step - this.#first);
    for (const [name, value] of entriesOf(given)) if (value !== undefined) scalars[name] = value;
    for (const [name, what] of this.#needs)
      if (given[name] === undefined && !this.#sources.has(name))
        throw new ValidationError(`${label}: expected ${name} for ${what}, got none; pass it: run({ ${name} })`);
    this.next = step + 1;
    return pack(stepLayout, { ...scalars }, label);
  }
}

const entriesOf = (scalars: Partial<StepScalars>) =>
  Object.entries(scalars) as [keyof StepScalars, number | undefined][];

function checkScalars(scalars: Partial<StepScalars>, label: string): void {
  for (const [name, value] of entriesOf(scalars)) {
    if (value === undefined) continue;
    if (!Object.hasOwn(fits, name))
      throw new ConfigError(`${label}: expected ${Object.keys(fits).join(', ')} of a step, got ${name}`);
    const [what, holds] = fits[name];
    if (!holds(value)) throw new ConfigError(`${label}: expected ${name} to be ${what}, got ${value}`);
  }
}
