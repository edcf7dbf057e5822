import { expectOptions } from '../checks/options.js';
import { Parameters } from '../core/parameters.js';
import { draws, stream } from '../core/random.js';
import type { Tensors } from '../core/state.js';
import { Tape } from '../core/tape.js';
import type { ImageSource } from '../data/source.js';
import { checkSize, featuresOf, type WeightedEncoder } from '../inference/features.js';
import { classifier, logitsOf } from '../nn/classifier.js';
import { sequential } from '../nn/module.js';
import { learningRate } from '../optim/schedule.js';
import type { Device } from '../runtime/device.js';
import { Plan } from '../runtime/plan.js';
import { cropAndFlip, fit, imageFeed } from './fit.js';
import {
  type Attempt,
  type FinetuneResult,
  type SupervisedOptions,
  settled,
  supervise,
  supervisedOptions,
  type Trained,
} from './supervised.js';

/** What is used where nothing is said. */
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
  const settings = settled(finetuneDefaults, expectOptions('finetune', options, supervisedOptions));
  const { weightDecay, cropMin, flip, seed, epochs } = settings;
  const { backbone, imageSize, square } = encoder;
  checkSize('finetune', encoder);
  let start: Promise<Tensors> | undefined; // asked for once the options are found right

  const attempt = async ({
    part,
    classes,
    batch,
    peak,
    onEpoch,
  }: Attempt): Promise<Trained<Pick<FinetuneResult, 'state'>>> => {
    const head = classifier(backbone.features.host, classes);
    const network = sequential(backbone, head);
    const parameters = new Parameters(device, network.parameters, network.statistics, { bn: 'shared' });
    const plan = new Plan(device, { label: 'finetune' });
    try {
      parameters.initialize(draws(seed, stream.head));
      start ??= encoder.parameters.read();
      for (const [name, { data }] of await start) parameters.write(name, data);
      const feed = await imageFeed(plan, part, cropAndFlip(imageSize, cropMin, flip), { batch, seed });
      try {
        const tape = new Tape(plan);
        const pass = { tape, parameters, width: 'host', training: true, updateStats: true } as const;
        const logits = network.forward(pass, feed.x);
        const labels = part.labels as Int32Array;
        const rate = (step: number, steps: number) => learningRate(step, { steps, peak, warmup: 0 });
        const course = { what: 'finetune', epochs, seed, rate, onEpoch };
        const descent = { weightDecay, nesterov: true };
        const log = await fit(plan, tape, { feed, logits, labels }, parameters, descent, course);
        return {
          log,
          classify: async (source) => {
            const features = await featuresOf(
              device,
              { backbone, parameters, imageSize, ...(square && { square }) },
              source,
            );
            return { features, logits: await logitsOf(device, head, parameters, features, backbone.features.host) };
          },
          state: async () => {
            const layer = await parameters.state(head, 'host');
            return [layer, { state: await parameters.state(backbone, 'host') }];
          },
          dispose: () => parameters.dispose(),
        };
      } finally {
        feed.dispose();
      }
    } catch (error) {
      parameters.dispose();
      throw error;
    } finally {
      plan.dispose();
    }
  };
  return supervise('finetune', train, test, settings, attempt);
}
