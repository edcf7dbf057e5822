// Training a classifier on labels: checks, the search for a learning rate, the epochs, and the test at the end. What differs
// between linear evaluation (`linear.ts`) and fine-tuning (`finetune.ts`) is a `ClassifierSetting`.
import type { Kinds } from '../checks/options.js';
import { Parameters } from '../core/parameters.js';
import { draws, stream } from '../core/random.js';
import type { Tensors } from '../core/state.js';
import { Tape } from '../core/tape.js';
import { eachImage, subset } from '../data/derived.js';
import type { ImageSource } from '../data/source.js';
import { ConfigError, NonFiniteError } from '../errors.js';
import type { WeightedEncoder } from '../inference/features.js';
import { type Classification, classification } from '../metrics/classification.js';
import { type Classifier, logitsOf } from '../nn/classifier.js';
import { type Module, sequential } from '../nn/module.js';
import { softmaxCrossEntropy } from '../ops/softmax.js';
import { sgd } from '../optim/sgd.js';
import type { Device } from '../runtime/device.js';
import { Plan } from '../runtime/plan.js';
import { Readback } from '../runtime/readback.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { Feed, FeedOptions } from './feed.js';
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

/** Metrics of a pass over the training images. */
export interface EpochLog {
  /** From 1. */
  readonly epoch: number;
  /** The learning rate of its last step. */
  readonly lr: number;
  /** Mean cross-entropy of its batches, each before its update. */
  readonly loss: number;
}

/** How far it has come: in run `run` of `runs`, one for each learning rate tried and one for the result. */
export interface FitProgress extends EpochLog {
  readonly run: number;
  readonly runs: number;
  readonly epochs: number;
  /** The learning rate of the run, for a batch of 256. */
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

/** What differs between the ways to train a classifier behind an encoder. */
interface ClassifierSetting<More extends object> {
  /** For messages. */
  readonly what: string;
  /** What is trained along with the layer, batchnorm by the batch's statistics; nothing where the encoder is frozen. */
  readonly backbone?: Module;
  readonly nesterov: boolean;
  /** The learning rate of a step. */
  rate(step: number, run: { readonly steps: number; readonly peak: number }): number;
  /** The layer from features to K classes. */
  layer(classes: number): Module;
  /** Sets what does not begin with its first values. */
  initialize(parameters: Parameters): Promise<void>;
  /** The batches of `part`, the images of these numbers among all that there are to train on. */
  feed(plan: Plan, part: ImageSource, numbers: readonly number[], options: FeedOptions): Promise<Feed>;
  /** What is trained sees this of a batch that is fed; the batch itself by default. */
  encode?(plan: Plan, x: Tensor): Tensor;
  /** Features (N, F) of center crops. */
  features(parameters: Parameters, images: ImageSource): Promise<Float32Array<ArrayBuffer>>;
  /** The layer's tensors, and what else belongs in the result. */
  state(parameters: Parameters, layer: Module): Promise<readonly [layer: Tensors, more: More]>;
}

/**
 * Trains a classifier on `train` and tests it on `test`; where there are several learning rates, first chooses one by
 * training on a part of `train` and testing on the rest of it. The test images are looked at once, at the end.
 *
 * @throws DataError, ConfigError and NonFiniteError as `linearEvaluation`
 */
export async function trainClassifier<More extends object>(
  device: Device,
  { backbone: { features: width } }: WeightedEncoder,
  train: ImageSource,
  test: ImageSource,
  settings: Settled & { readonly mostBatch: number },
  setting: ClassifierSetting<More>,
): Promise<SupervisedResult & More> {
  const { what } = setting;
  const { validation, seed, epochs } = settings;
  const rates = checked(what, settings);
  const classes = countClasses(what, train, test);
  const K = classes.names.length;
  const images = eachImage(train);
  const all = Array.from({ length: images.length }, (_, i) => i);
  const split = rates.length > 1 ? validationSplit(train, validation, seed) : undefined;
  const [part, held] = split ? [split.train, split.validation].map((items) => imagesOf(train, items)) : [all, []];
  const batch = batchOf(what, settings.batch, settings.mostBatch, part.length);
  const runs = split ? rates.length + 1 : 1;

  /** Trains on the images of these numbers, and hands what came of it to `use`. */
  const run = async <T>(numbers: readonly number[], lr: number, at: number, use: (trained: Trained) => Promise<T>) => {
    const layer = setting.layer(K);
    const trained = setting.backbone ? sequential(setting.backbone, layer) : layer;
    const parameters = new Parameters(device, trained.parameters, trained.statistics, { bn: 'shared' });
    try {
      parameters.initialize(draws(seed, stream.head));
      await setting.initialize(parameters);
      const log = await fit(device, setting, settings, trained, parameters, {
        part: subset(images, numbers),
        numbers,
        batch,
        peak: (lr * batch) / 256,
        onEpoch: (log) => settings.onEpoch?.({ ...log, run: at, runs, rate: lr, epochs }),
      });
      const classify = async (source: ImageSource) => {
        const features = await setting.features(parameters, source);
        return { features, logits: await logitsOf(device, layer, parameters, features, width.host) };
      };
      return await use({ log, layer, parameters, classify });
    } finally {
      parameters.dispose();
    }
  };
  const judged = subset(images, held);
  const { lr, trials } = split
    ? await chooseRate(what, rates, (rate, i) =>
        run(part, rate, i + 1, async ({ classify }) => {
          const { logits } = await classify(judged);
          return classification(logits, judged.labels as Int32Array, K).top1;
        }),
      )
    : { lr: rates[0], trials: [] };
  const tested = eachImage(test);
  const labels = tested.labels as Int32Array;
  return run(all, lr, runs, async ({ log, layer, parameters, classify }) => {
    const { features, logits } = await classify(tested);
    const [state, more] = await setting.state(parameters, layer);
    return {
      ...classification(logits, labels, K),
      classes,
      lr,
      trials,
      batch,
      log,
      features,
      labels,
      classifier: { classes: classes.names, state },
      ...more,
    };
  });
}

/** A trained classifier. */
interface Trained {
  readonly log: readonly EpochLog[];
  readonly layer: Module;
  readonly parameters: Parameters;
  /** Features (N, F) and logits (N, K) of images. */
  classify(images: ImageSource): Promise<{ features: Float32Array<ArrayBuffer>; logits: Float32Array }>;
}

interface Run {
  readonly part: ImageSource;
  readonly numbers: readonly number[];
  readonly batch: number;
  /** The learning rate, scaled to the batch. */
  readonly peak: number;
  readonly onEpoch: (log: EpochLog) => void;
}

/**
 * One training run: records the cross-entropy of the logits, its gradients and an update by SGD, and replays that for some
 * epochs.
 *
 * @throws NonFiniteError as soon as the loss is NaN or infinite
 */
async function fit(
  device: Device,
  setting: Omit<ClassifierSetting<object>, 'state'>,
  settings: Settled,
  trained: Module,
  parameters: Parameters,
  run: Run,
): Promise<EpochLog[]> {
  const plan = new Plan(device, { label: setting.what });
  try {
    const feed = await setting.feed(plan, run.part, run.numbers, { batch: run.batch, seed: settings.seed });
    try {
      const x = setting.encode ? setting.encode(plan, feed.x) : feed.x;
      const tape = new Tape(plan);
      const training = setting.backbone !== undefined;
      const pass = { tape, parameters, width: 'host', training, updateStats: training } as const;
      return await descend(plan, tape, { feed, logits: trained.forward(pass, x) }, setting, settings, parameters, run);
    } finally {
      feed.dispose();
    }
  } finally {
    plan.dispose();
  }
}

/** Descends along the gradients of the cross-entropy of `logits`, whose batches are those of `feed`. */
async function descend(
  plan: Plan,
  tape: Tape,
  { feed, logits }: { readonly feed: Feed; readonly logits: Tensor },
  setting: Pick<ClassifierSetting<object>, 'what' | 'nesterov' | 'rate'>,
  { weightDecay, seed, epochs }: Settled,
  parameters: Parameters,
  { part, batch, peak, onEpoch }: Run,
): Promise<EpochLog[]> {
  const { device } = plan;
  const { what } = setting;
  const { stepsPerEpoch } = feed;
  const steps = epochs * stepsPerEpoch;
  const rate = (step: number) => setting.rate(step, { steps, peak });
  const labels = part.labels as Int32Array;
  const targets = device.buffer('fit.targets', batch * 4);
  const loss = softmaxCrossEntropy(tape, logits, tensor(targets, 'targets', [batch], 0, 'u32'));
  plan.retain(loss);
  plan.clear({ storage: parameters.grads, offset: 0, bytes: parameters.size * 4 });
  tape.backward(loss);
  const optimizer = sgd(plan, parameters, { decayAll: false, weightDecay, nesterov: setting.nesterov });
  // Two, so that the GPU has the next step before the log of this one is waited for.
  const readbacks: Readback<'loss'>[] = [];
  let before: Promise<{ loss: Float32Array }> | undefined;
  try {
    await plan.compile();
    const range = { ...plan.resolve(loss), bytes: 4 };
    for (const label of ['fit.loss0', 'fit.loss1']) readbacks.push(new Readback(device, label, { loss: range }));
    const logs: EpochLog[] = [];
    let sum = 0;
    const take = (step: number, [value]: Float32Array) => {
      if (!Number.isFinite(value))
        throw new NonFiniteError(`${what}: the loss of step ${step + 1} is ${value}; give a lower learning rate`);
      sum += value;
      if ((step + 1) % stepsPerEpoch > 0) return;
      logs.push({ epoch: logs.length + 1, lr: rate(step), loss: sum / stepsPerEpoch });
      onEpoch(logs[logs.length - 1]);
      sum = 0;
    };
    for (let step = 0; step < steps; step++) {
      const items = await feed.prepare(step);
      device.write(
        targets,
        Uint32Array.from(items, (item) => labels[item]),
      );
      plan.run({ step, seed, lr: rate(step) });
      const last = before;
      before = readbacks[step % 2].snapshot();
      before.catch(() => undefined); // thrown where it is awaited
      if (step + 1 < steps) feed.prefetch?.(step + 1);
      if (last) take(step - 1, (await last).loss);
    }
    if (before) take(steps - 1, (await before).loss);
    return logs;
  } finally {
    await before?.catch(() => undefined); // no read may be pending when its memory is freed
    for (const readback of readbacks) readback.dispose();
    optimizer.dispose();
    device.release([targets]);
  }
}

/** The indices, among a source's images, of its items' images. */
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
