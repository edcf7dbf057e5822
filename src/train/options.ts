// The options of a trainer, their defaults and ranges.
import { expectOptions, type Kinds } from '../checks/options.js';
import { isWithin, type Range, rangeText } from '../checks/range.js';
import type { Parameters } from '../core/parameters.js';
import type { Tensors } from '../core/state.js';
import { ConfigError } from '../errors.js';
import { type Augmentation, defaultViews } from '../ops/augment.js';
import { lars } from '../optim/lars.js';
import type { Optimizer } from '../optim/optimizer.js';
import type { Plan } from '../runtime/plan.js';
import type { Precision } from '../tensor/tensor.js';
import { defaultEpochs, mostSteps, show } from './schedule.js';

/** How a `Trainer` trains. All are optional; the defaults are the paper's recipe for small images. */
export interface TrainerOptions {
  /** Images in a step, default 256; a last partial batch of an epoch is dropped. */
  readonly batch?: number;
  /** Passes over the images; default 100, unless `steps` is given. */
  readonly epochs?: number;
  /** Optimizer steps, in place of `epochs`. */
  readonly steps?: number;
  /** Steps of linear warm-up; default 10 epochs, at most 10 % of the steps. */
  readonly warmup?: number;
  /** Records the update of all weights, once per plan of a step; default `lars`. */
  readonly optimizer?: (plan: Plan, parameters: Parameters) => Optimizer;
  /** Peak learning rate for a batch of 256, scaled by batch / 256; default 0.3 for `lars`, required with another optimizer. */
  readonly lr?: number;
  /** Side of the views in pixels; default 32, or the size of view A where `views` are given. */
  readonly imageSize?: number;
  /** The random transformations of view A and view B; default `defaultViews(imageSize)`. */
  readonly views?: readonly [Augmentation, Augmentation];
  /** Storage of the encoders' activations, everything else is f32; default f32. */
  readonly precision?: Precision;
  /** Recompute batchnorm outputs in the backward: less memory, more time, the same bits. */
  readonly recompute?: boolean;
  /** Seeds the initial weights, the order of the images and the random views; default 0. */
  readonly seed?: number;
  /** Steps between selections of channels, for a method with `slice: 'l1'`; default 1000. */
  readonly sliceEvery?: number;
  /** Steps before channels are first selected by trained weights, for a method with `slice: 'l1'`; default `warmup`. */
  readonly sliceWarmup?: number;
  /** Kernel variants to use, by the names in a checkpoint. */
  readonly variants?: Readonly<Record<string, string>>;
  /**
   * Selects the kernel variants that are fastest on the adapter, from the recorded step: `tune`, or a custom function;
   * `variants` take precedence.
   */
  readonly tune?: (plan: Plan) => Promise<Readonly<Record<string, string>>>;
  /** Called as pipelines are compiled. */
  readonly onCompile?: (done: number, total: number) => void;
  /**
   * Weights to start from instead of random ones, by the encoder's own names, such as `state` of `readEncoder`. They are loaded into
   * the host or into its slice, whichever has their shapes; with two encoders, into the slim one. Heads start as usual. A resumed
   * run does not need them.
   */
  readonly init?: Tensors;
  /** The result of `checkpoint()`: the run continues from there. */
  readonly resume?: Uint8Array;
}

/** Defaults. */
export const trainerDefaults = { batch: 256, epochs: defaultEpochs, lr: 0.3, imageSize: 32, seed: 0, sliceEvery: 1000 };

/** Ranges of numeric options. */
export const ranges = {
  batch: { min: 2, max: 65536, whole: true },
  epochs: { min: 1, max: mostSteps, whole: true },
  steps: { min: 1, max: mostSteps, whole: true },
  warmup: { min: 0, whole: true },
  lr: { min: 0 },
  imageSize: { min: 8, max: 1024, whole: true },
  seed: { min: 0, max: 2 ** 32 - 1, whole: true },
  sliceEvery: { min: 1, whole: true },
  sliceWarmup: { min: 0, whole: true },
} as const;

/** Checked options; those that decide what a run computes are filled in. */
export type Settled = Omit<TrainerOptions, Completed> & Required<Pick<TrainerOptions, Completed>>;

type Completed =
  | 'batch'
  | 'optimizer'
  | 'lr'
  | 'imageSize'
  | 'views'
  | 'precision'
  | 'recompute'
  | 'seed'
  | 'sliceEvery'
  | 'variants';

interface Rule {
  readonly expected: string;
  readonly fits: (value: unknown) => boolean;
}

const within = (range: Range): Rule => ({ expected: rangeText(range), fits: (value) => isWithin(value, range) });

const isFunction = (value: unknown) => typeof value === 'function';
const isObject = (value: unknown) => typeof value === 'object' && value !== null;

const rules = {
  batch: within(ranges.batch),
  epochs: within(ranges.epochs),
  steps: within(ranges.steps),
  warmup: within(ranges.warmup),
  optimizer: { expected: 'a function that records an optimizer, as (plan, parameters) => sgd(…)', fits: isFunction },
  lr: within(ranges.lr),
  imageSize: within(ranges.imageSize),
  views: {
    expected: 'two augmentations, as defaultViews(32) makes them',
    fits: (value) => Array.isArray(value) && value.length === 2 && value.every(isObject),
  },
  precision: { expected: 'f32 or f16', fits: (value) => value === 'f32' || value === 'f16' },
  recompute: { expected: 'true or false', fits: (value) => typeof value === 'boolean' },
  seed: within(ranges.seed),
  sliceEvery: within(ranges.sliceEvery),
  sliceWarmup: within(ranges.sliceWarmup),
  variants: { expected: "an object of kernels' variants by their keys", fits: isObject },
  tune: { expected: 'a function that chooses variants, as tune or (plan) => tune(plan, { cache })', fits: isFunction },
  onCompile: { expected: 'a function', fits: isFunction },
  init: {
    expected: 'a Map of tensors by name, as readEncoder(bytes).state',
    fits: (value) => value instanceof Map,
  },
  resume: { expected: 'the bytes of a checkpoint, a Uint8Array', fits: (value) => value instanceof Uint8Array },
} satisfies Record<keyof TrainerOptions, Rule>;
const known = Object.fromEntries(Object.keys(rules).map((key) => [key, 'any'])) as Kinds<TrainerOptions>;

/**
 * Options, checked and completed.
 *
 * @throws ConfigError naming an option that is unknown, invalid, or incompatible with others
 */
export function settleOptions(options: TrainerOptions): Settled {
  const refuse = (message: string): never => {
    throw new ConfigError(`Trainer: ${message}`);
  };
  for (const [key, value] of Object.entries(expectOptions('Trainer', options, known))) {
    const { expected, fits } = rules[key as keyof TrainerOptions] as Rule;
    if (value !== undefined && !fits(value)) refuse(`expected ${key} to be ${expected}, got ${show(value)}`);
  }
  const { epochs, steps, optimizer, lr, views, imageSize = views?.[0].size ?? trainerDefaults.imageSize } = options;
  if (epochs !== undefined && steps !== undefined)
    refuse(`expected epochs or steps, got ${epochs} epochs and ${steps} steps; leave one out`);
  if (optimizer && lr === undefined)
    refuse(
      'expected lr beside an optimizer of your own, got none; give it to the trainer, which has a schedule, and not to the optimizer',
    );
  if (views && views[0].size !== imageSize)
    refuse(`expected view A of imageSize ${imageSize}, got one of ${views[0].size}; leave imageSize out`);
  return {
    ...options,
    batch: options.batch ?? trainerDefaults.batch,
    optimizer: optimizer ?? lars,
    lr: lr ?? trainerDefaults.lr,
    imageSize,
    views: views ?? defaultViews(imageSize),
    precision: options.precision ?? 'f32',
    recompute: options.recompute ?? false,
    seed: options.seed ?? trainerDefaults.seed,
    sliceEvery: options.sliceEvery ?? trainerDefaults.sliceEvery,
    variants: options.variants ?? {},
  };
}
