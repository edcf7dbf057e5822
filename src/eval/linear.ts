// Linear evaluation: what the training of a classifier needs to know of a frozen encoder.
import { expectOptions, type Kinds, withDefaults } from '../checks/options.js';
import { Tape } from '../core/tape.js';
import { eachImage, subset } from '../data/derived.js';
import type { ImageSource } from '../data/source.js';
import { ConfigError, DataError } from '../errors.js';
import { checkSize, featuresOf, type WeightedEncoder } from '../inference/features.js';
import { classifier, classifierState, type Moments, momentsOf, setStatistics, together } from '../nn/classifier.js';
import type { Pass } from '../nn/module.js';
import { learningRate, steppedRate } from '../optim/schedule.js';
import type { Device } from '../runtime/device.js';
import {
  type SupervisedOptions,
  type SupervisedResult,
  supervisedOptions,
  trainClassifier,
} from './classifier_training.js';
import { cropAndFlip, imageFeed, rowFeed } from './feed.js';

export interface LinearOptions extends SupervisedOptions {
  /** A tenth of the learning rate from 60 % of the steps on and a hundredth from 80 %, or half a cosine down to 0. */
  schedule?: 'step' | 'cosine';
  /** Train on random crops and flips, as the paper does, not on features computed once: a pass of the encoder a step. */
  augment?: boolean;
  /** Center and scale every feature by its mean and deviation over the training images first. */
  standardize?: boolean;
  /** The most bytes of features to keep; more are computed again for every batch. */
  cacheBytes?: number;
}

const linearOptions: Kinds<LinearOptions> = {
  ...supervisedOptions,
  schedule: 'string',
  augment: 'boolean',
  standardize: 'boolean',
  cacheBytes: 'number',
};

/** The defaults of `linearEvaluation`. */
export const linearDefaults = {
  lr: [0.1, 0.3, 1, 3],
  epochs: 100,
  mostBatch: 256,
  weightDecay: 0,
  validation: 0.2,
  cropMin: 0.08,
  flip: 0.5,
  seed: 0,
  schedule: 'step',
  augment: false,
  standardize: false,
  cacheBytes: 2 ** 30,
} as const;

function finite<T extends Float32Array>(rows: T): T {
  if (rows.every(Number.isFinite)) return rows;
  throw new DataError("linear: the encoder's features hold a NaN or infinity; its weights are of no use");
}

const frozen = { width: 'host', training: false, updateStats: false } as const satisfies Partial<Pass>;

/**
 * Linear evaluation: a linear layer learns to classify the features of a frozen encoder, whose batchnorm goes by its running
 * statistics, and is tested on center crops. Cross-entropy, SGD with momentum 0.9 (DESIGN.md, "Evaluation").
 *
 * @param train labeled images to learn from; of items with two images both count
 * @param test labeled images of the same classes
 * @throws DataError where labels are missing or are all of one class, or an image cannot be had; ConfigError where
 * an option is out of range, the batch larger than the data, or images smaller than the encoder's stride; NonFiniteError
 * where no learning rate keeps the loss finite
 */
export async function linearEvaluation(
  device: Device,
  encoder: WeightedEncoder,
  train: ImageSource,
  test: ImageSource,
  options: LinearOptions = {},
): Promise<SupervisedResult> {
  const settings = withDefaults(linearDefaults, expectOptions('linear', options, linearOptions));
  const { cropMin, flip, schedule, augment, standardize, cacheBytes } = settings;
  const { backbone, imageSize, square, parameters: fixed } = encoder;
  checkSize('linear', encoder);
  if (!['step', 'cosine'].includes(schedule))
    throw new ConfigError(`linear: expected schedule to be 'step' or 'cosine', got '${schedule}'`);
  if (!(cacheBytes >= 0)) throw new ConfigError(`linear: expected cacheBytes of at least 0, got ${cacheBytes}`);
  const features = backbone.features.host;

  /** Features by source: the validation part is asked for once a learning rate. */
  const known = new Map<ImageSource, Promise<Float32Array<ArrayBuffer>>>();
  const featuresBy = (source: ImageSource) => {
    const rows = known.get(source) ?? featuresOf(device, encoder, source).then(finite);
    known.set(source, rows);
    return rows;
  };
  const images = eachImage(train);
  const fits = 4 * features * images.length <= cacheBytes;
  const isCached = !augment && fits;
  let moments: Promise<Moments> | undefined;
  const measured = () => {
    const rows = Math.max(1, Math.floor(cacheBytes / 4 / features));
    moments ??= fits
      ? featuresBy(images).then((all) => momentsOf(all, features))
      : streamedMoments(device, encoder, images, rows);
    return moments;
  };

  return trainClassifier(device, encoder, train, test, settings, {
    what: 'linear',
    nesterov: false,
    rate: (step, run) => (schedule === 'step' ? steppedRate(step, run) : learningRate(step, { ...run, warmup: 0 })),
    layer: (classes) => classifier(features, classes, { standardize }),
    initialize: async (parameters) => {
      if (standardize) setStatistics(parameters, await measured());
    },
    feed: async (plan, part, numbers, options) => {
      if (isCached) return rowFeed(plan, await featuresBy(images), features, numbers, options);
      const view = augment ? cropAndFlip(imageSize, cropMin, flip) : { size: imageSize, square };
      return imageFeed(plan, part, view, options);
    },
    ...(!isCached && {
      encode: (plan, x) =>
        backbone.forward({ ...frozen, parameters: fixed, tape: new Tape(plan, { noGrad: true }) }, x),
    }),
    features: (_, source) => featuresBy(source),
    state: async (parameters) => [await classifierState(parameters), {}],
  });
}

/** The moments of the features of more images than are to be kept: of `count` at a time. */
async function streamedMoments(
  device: Device,
  encoder: WeightedEncoder,
  images: ImageSource,
  count: number,
): Promise<Moments> {
  const items = Array.from({ length: images.length }, (_, item) => item);
  let all: Moments | undefined;
  for (let first = 0; first < items.length; first += count) {
    const part = subset(images, items.slice(first, first + count));
    const own = momentsOf(finite(await featuresOf(device, encoder, part)), encoder.backbone.features.host);
    all = all ? together(all, own) : own;
  }
  return all as Moments;
}
