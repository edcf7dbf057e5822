// Fine-tuning: what the training of a classifier needs to know where all weights are trained.
import { expectOptions, withDefaults } from '../checks/options.js';
import type { Tensors } from '../core/state.js';
import type { ImageSource } from '../data/source.js';
import { checkSize, featuresOf, type WeightedEncoder } from '../inference/features.js';
import { classifier } from '../nn/classifier.js';
import { learningRate } from '../optim/schedule.js';
import type { Device } from '../runtime/device.js';
import {
  type FinetuneResult,
  type SupervisedOptions,
  supervisedOptions,
  trainClassifier,
} from './classifier_training.js';
import { cropAndFlip, imageFeed } from './feed.js';

/** The defaults of `finetune`. */
export const finetuneDefaults = {
  lr: [0.01, 0.1, 1],
  epochs: 50,
  mostBatch: 64,
  weightDecay: 1e-4,
  validation: 0.2,
  cropMin: 0.08,
  flip: 0.5,
  seed: 0,
} as const;

/**
 * Fine-tuning: encoder and a linear layer behind it learn to classify, all weights, batchnorm by the batch's statistics, on
 * random crops and flips, and are tested on center crops by the running ones. Cross-entropy, SGD with Nesterov momentum 0.9,
 * half a cosine (DESIGN.md, "Evaluation"). The encoder that is given stays as it is.
 *
 * @param train labeled images to learn from; of items with two images both count
 * @param test labeled images of the same classes
 * @throws as `linearEvaluation`; also ShapeError where a batch holds one value a channel, of which there are no batch
 * statistics
 */
export async function finetune(
  device: Device,
  encoder: WeightedEncoder,
  train: ImageSource,
  test: ImageSource,
  options: SupervisedOptions = {},
): Promise<FinetuneResult> {
  const settings = withDefaults(finetuneDefaults, expectOptions('finetune', options, supervisedOptions));
  const { cropMin, flip } = settings;
  const { backbone, imageSize, square } = encoder;
  checkSize('finetune', encoder);
  let start: Promise<Tensors> | undefined; // read once the options are found valid
  return trainClassifier(device, encoder, train, test, settings, {
    what: 'finetune',
    backbone,
    nesterov: true,
    rate: (step, run) => learningRate(step, { ...run, warmup: 0 }),
    layer: (classes) => classifier(backbone.features.host, classes),
    initialize: async (parameters) => {
      start ??= encoder.parameters.read();
      for (const [name, { data }] of await start) parameters.write(name, data);
    },
    feed: (plan, part, _, options) => imageFeed(plan, part, cropAndFlip(imageSize, cropMin, flip), options),
    features: (parameters, source) =>
      featuresOf(device, { backbone, parameters, imageSize, ...(square && { square }) }, source),
    state: async (parameters, layer) => [
      await parameters.state(layer, 'host'),
      { state: await parameters.state(backbone, 'host') },
    ],
  });
}
