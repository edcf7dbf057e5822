import { integer, number, numbers, probability } from '../../config/kinds.js';
import type { finetuneDefaults } from '../../eval/finetune.js';
import type { linearDefaults } from '../../eval/linear.js';

/** The settings of a training by labels; their defaults are the library's. */
export function supervisedSettings(standard: typeof linearDefaults | typeof finetuneDefaults) {
  const { lr, epochs, mostBatch, weightDecay, validation, cropMin, flip, seed } = standard;
  return {
    lr: numbers('peak learning rate for a batch of 256; of several, the best on a part of the training images', lr, {
      above: 0,
    }),
    epochs: integer('passes over the training images', epochs, { min: 1 }),
    batch: integer<number | null>('images in a step', null, { min: 1, shown: `${mostBatch}, or all where fewer` }),
    weightDecay: number('weight decay of matrices', weightDecay, { min: 0 }),
    validation: number('share of the training images to choose a learning rate by', validation, { above: 0, below: 1 }),
    cropMin: number('least share of the area that a random crop keeps', cropMin, { above: 0, max: 1 }),
    flip: probability('a horizontal flip', flip),
    seed: integer('of first weights, order and augmentation', seed, { min: 0, max: 2 ** 32 - 1 }),
  };
}
