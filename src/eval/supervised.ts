import type { Kinds } from '../checks/options.js';
import type { Tensors } from '../core/state.js';
import { eachImage, subset } from '../data/derived.js';
import type { ImageSource } from '../data/source.js';
import { ConfigError, NonFiniteError } from '../errors.js';
import { type Classification, classification } from '../metrics/classification.js';
import type { Classifier } from '../nn/classifier.js';
import type { EpochLog } from './fit.js';
import { type ClassCounts, countClasses, validationSplit } from './labels.js';

/** What every evaluation takes that trains a classifier. */
export interface SupervisedOptions {
  /**
   * Peak learning rate for a batch of 256; scaled by batch / 256. Of several the best on a validation part of the training
   * images is used, and trained with once more on all of them.
   */
  lr?: number | readonly number[];
  epochs?: number;
  /** Images in a step; by default no more than there are to train on. */
  batch?: number;
  weightDecay?: number;
  /** Share of every class that is held out of training to choose among several learning rates. */
  validation?: number;
  /** Least share of the area that a random crop keeps. */
  cropMin?: number;
  /** Probability of a horizontal flip. */
  flip?: number;
  /** Of first weights, order, augmentation and the validation part. */
  seed?: number;
  onEpoch?: (progress: FitProgress) => void;
}

export const supervisedOptions: Kinds<SupervisedOptions> = {
  lr: 'any',
  epochs: 'number',
  batch: 'number',
  weightDecay: 'number',
  validation: 'number',
  cropMin: 'number',
  flip: 'number',
  seed: 'number',
  onEpoch: 'function',
};

/** How far it has come: in run `run` of `runs`, one for each learning rate tried and one for the result. */
export interface FitProgress extends EpochLog {
  readonly run: number;
  readonly runs: number;
  readonly epochs: number;
  /** The learning rate that the run was asked to go by. */
  readonly rate: number;
}

/** A learning rate that was tried: its accuracy on the validation part; null where the loss did not stay finite. */
export interface RateTrial {
  readonly lr: number;
  readonly accuracy: number | null;
}

/** What an evaluation that trains a classifier found, on the test images. */
export interface SupervisedResult extends Classification {
  readonly classes: ClassCounts;
  /** The learning rate used, and those tried where there were several. */
  readonly lr: number;
  readonly trials: readonly RateTrial[];
  readonly batch: number;
  /** The last run, epoch by epoch. */
  readonly log: readonly EpochLog[];
  /** The features of the test images, (N, F), and their labels, (N); images of one item follow each other. */
  readonly features: Float32Array<ArrayBuffer>;
  readonly labels: Int32Array;
  /** The layer behind the encoder that was trained. */
  readonly classifier: Classifier;
}

/** What fine-tuning found, and made of the encoder. */
export interface FinetuneResult extends SupervisedResult {
  /** The encoder's tensors, by their names. */
  readonly state: Tensors;
}

/** Options that are complete. */
export type Settled = Required<Omit<SupervisedOptions, 'batch' | 'onEpoch'>> &
  Pick<SupervisedOptions, 'batch' | 'onEpoch'>;

/** Options over what is used where nothing is said; one that is undefined says nothing. */
export function settled<D extends object, O extends object>(standard: D, options: O): D & O {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...standard, ...Object.fromEntries(given) } as D & O;
}

/** One training run. */
export interface Attempt {
  /** The images to learn from, and their numbers among all that there are to train on. */
  readonly part: ImageSource;
  readonly numbers: readonly number[];
  /** K. */
  readonly classes: number;
  readonly batch: number;
  /** The learning rate, scaled to the batch. */
  readonly peak: number;
  readonly onEpoch: (log: EpochLog) => void;
}

/** A classifier, trained. */
export interface Trained<More extends object = object> {
  readonly log: readonly EpochLog[];
  /** Features (N, F) and logits (N, K) of images. */
  classify(images: ImageSource): Promise<{ features: Float32Array<ArrayBuffer>; logits: Float32Array }>;
  /** The layer's tensors, and what else there is to tell of the result. */
  state(): Promise<readonly [layer: Tensors, more: More]>;
  dispose(): void;
}

/**
 * Trains a classifier on `train` and tests it on `test`; where there are several learning rates, first chooses one by
 * training on a part of `train` and testing on the rest of it. The test images are looked at once, at the end.
 *
 * @throws DataError, ConfigError and NonFiniteError as `linearEvaluation` tells
 */
export async function supervise<More extends object>(
  what: string,
  train: ImageSource,
  test: ImageSource,
  settings: Settled & { readonly mostBatch: number },
  attempt: (attempt: Attempt) => Promise<Trained<More>>,
): Promise<SupervisedResult & More> {
  const { validation, seed } = settings;
  const rates = checked(what, settings);
  const classes = countClasses(what, train, test);
  const K = classes.names.length;
  const images = eachImage(train);
  const all = Array.from({ length: images.length }, (_, i) => i);
  const split = rates.length > 1 ? validationSplit(train, validation, seed) : undefined;
  const [part, held] = split ? [split.train, split.validation].map((items) => imagesOf(train, items)) : [all, []];
  const batch = batchOf(what, settings.batch, settings.mostBatch, part.length);
  const runs = split ? rates.length + 1 : 1;

  const run = async <T>(
    numbers: readonly number[],
    lr: number,
    at: number,
    use: (trained: Trained<More>) => Promise<T>,
  ) => {
    const trained = await attempt({
      part: subset(images, numbers),
      numbers,
      classes: K,
      batch,
      peak: (lr * batch) / 256,
      onEpoch: (log) => settings.onEpoch?.({ ...log, run: at, runs, rate: lr, epochs: settings.epochs }),
    });
    try {
      return await use(trained);
    } finally {
      trained.dispose();
    }
  };
  const judged = subset(images, held);
  const { lr, trials } = split
    ? await chooseRate(what, rates, (rate, i) =>
        run(part, rate, i + 1, async (trained) => {
          const { logits } = await trained.classify(judged);
          return classification(logits, judged.labels as Int32Array, K).top1;
        }),
      )
    : { lr: rates[0], trials: [] };
  const tested = eachImage(test);
  const labels = tested.labels as Int32Array;
  return run(all, lr, runs, async (trained) => {
    const { features, logits } = await trained.classify(tested);
    const [layer, more] = await trained.state();
    return {
      ...classification(logits, labels, K),
      classes,
      lr,
      trials,
      batch,
      log: trained.log,
      features,
      labels,
      classifier: { classes: classes.names, state: layer },
      ...more,
    };
  });
}

/** The numbers, among a source's images, of those of its items. */
function imagesOf({ images }: ImageSource, items: readonly number[]): number[] {
  return items.flatMap((item) => Array.from({ length: images }, (_, p) => item * images + p));
}

/** The learning rates that are asked for, all settings being in range. */
function checked(what: string, settings: Settled): readonly number[] {
  const { lr, epochs, validation, seed, weightDecay, cropMin, flip } = settings;
  const expect = (holds: boolean, name: string, expected: string, got: unknown) => {
    if (!holds) throw new ConfigError(`${what}: expected ${name} to be ${expected}, got ${got}`);
  };
  const rates = typeof lr === 'number' ? [lr] : Array.isArray(lr) ? (lr as readonly number[]) : [];
  expect(rates.length > 0, 'lr', 'a number, or several', Array.isArray(lr) ? 'none' : lr);
  for (const rate of rates) expect(Number.isFinite(rate) && rate > 0, 'lr', 'above 0', rate);
  expect(Number.isSafeInteger(epochs) && epochs >= 1, 'epochs', 'a whole number of at least 1', epochs);
  expect(validation > 0 && validation < 1, 'validation', 'a share above 0 and below 1', validation);
  expect(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32, 'seed', 'a whole number from 0 to 4294967295', seed);
  expect(weightDecay >= 0 && Number.isFinite(weightDecay), 'weightDecay', 'a number of at least 0', weightDecay);
  expect(cropMin > 0 && cropMin <= 1, 'cropMin', 'a share above 0, at most 1', cropMin);
  expect(flip >= 0 && flip <= 1, 'flip', 'a probability', flip);
  return rates;
}

/** Images in a step: those asked for, else `most` or as many as there are. */
function batchOf(what: string, asked: number | undefined, most: number, images: number): number {
  const batch = asked ?? Math.min(most, images);
  if (!(Number.isInteger(batch) && batch >= 1 && batch <= images))
    throw new ConfigError(
      `${what}: expected a batch from 1 to ${images}, the images to train on, got ${batch}; ` +
        'give a smaller batch, or more images',
    );
  return batch;
}

/** Tries the learning rates one after another; the first of the best wins. */
async function chooseRate(
  what: string,
  rates: readonly number[],
  accuracyOf: (lr: number, i: number) => Promise<number>,
): Promise<{ lr: number; trials: RateTrial[] }> {
  const trials: RateTrial[] = [];
  let best: { lr: number; accuracy: number } | undefined;
  for (const [i, lr] of rates.entries()) {
    const accuracy = await accuracyOf(lr, i).catch((error: unknown) => {
      if (error instanceof NonFiniteError) return null;
      throw error;
    });
    trials.push({ lr, accuracy });
    if (accuracy !== null && !(best && best.accuracy >= accuracy)) best = { lr, accuracy };
  }
  if (!best)
    throw new NonFiniteError(
      `${what}: the loss stays finite with none of the learning rates ${rates.join(', ')}; give lower ones`,
    );
  return { lr: best.lr, trials };
}
