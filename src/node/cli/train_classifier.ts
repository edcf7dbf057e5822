// The commands that train a classifier on labels: two entries of one declaration. What they do is train_classifier_file.ts.
import { choice, integer, number, numbers, probability, type Setting, toggle } from '../../config/kinds.js';
import { flagOf } from '../../config/settings.js';
import { finetuneDefaults } from '../../eval/finetune.js';
import { linearDefaults } from '../../eval/linear.js';
import type { Command } from './command.js';
import { UsageError } from './flags.js';
import { flagsOf, settle } from './settings.js';
import { given, resultSettings, subjectSettings } from './subject.js';

/** The settings of a training by labels; their defaults are the library's. */
function trainingSettings(standard: typeof linearDefaults | typeof finetuneDefaults) {
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

/** A command of these; `own` are settings that the other one lacks. */
function trainingCommand(
  { name, summary, examples }: Pick<Command, 'summary' | 'examples'> & { readonly name: 'linear' | 'finetune' },
  standard: typeof linearDefaults | typeof finetuneDefaults,
  own: Readonly<Record<string, Setting<unknown>>>,
): Command {
  const isLinear = name === 'linear';
  const settings = {
    ...subjectSettings,
    ...trainingSettings(standard),
    ...own,
    ...resultSettings,
    ...(isLinear && { report: toggle('write the classifier, the JSON file and the section of report.html', true) }),
  };
  return {
    name,
    summary,
    usage: `${name} --weights FILE --data DIR|emoji|... [FLAGS]`,
    positional: [],
    flags: flagsOf(settings),
    examples,
    async run({ values }) {
      const { weights, data, out, report, ...options } = settle(name, settings, values);
      for (const key of ['cropMin', 'flip'])
        if (isLinear && values[key] !== undefined && !values.augment)
          throw new UsageError(`${flagOf(key)}: means something with --augment only; features are of center crops`);
      const { classifierPlace, placeOf, publish, writeClassifier } = await import('../run/results.js');
      const place = await placeOf(name, weights, data, { out, report });
      const file = report || !isLinear ? await classifierPlace(place) : undefined;
      const { trainClassifierFile } = await import('./train_classifier_file.js');
      const { fitProgress } = await import('./fit_progress.js');
      const onProgress = fitProgress(process.stderr);
      const learned = await trainClassifierFile(name, place, data, { ...given(options), onProgress });
      if (file) await writeClassifier(place.encoder, learned, file); // first: it takes the longest to make again
      await publish(learned.result, place);
      return 0;
    },
  };
}

const { schedule, augment, standardize } = linearDefaults;

export const linearCommand = trainingCommand(
  {
    name: 'linear',
    summary: 'train a linear layer on the frozen encoder, and test it',
    examples: [
      ['slimgrad linear --weights runs/demo-0/slim.safetensors --data emoji', 'on features computed once'],
      ['slimgrad linear --weights slim.safetensors --data photos --augment --lr 0.1', "the paper's protocol"],
    ],
  },
  linearDefaults,
  {
    schedule: choice('a tenth of the rate at 60 % and again at 80 %, or half a cosine', schedule, ['step', 'cosine']),
    augment: toggle('train on random crops and flips, as the paper does: a pass of the encoder a step', augment),
    standardize: toggle('first center and scale every feature', standardize),
    controls: toggle('train layers on the untrained encoder and on raw pixels too', true),
  },
);

export const finetuneCommand = trainingCommand(
  {
    name: 'finetune',
    summary: 'train the whole encoder on labeled images, and test it',
    examples: [
      ['slimgrad finetune --weights runs/demo-0/slim.safetensors --data photos', 'three learning rates, then the best'],
      [
        'slimgrad finetune --weights slim.safetensors --data photos --lr 0.01 --scratch',
        'compared with training from scratch',
      ],
    ],
  },
  finetuneDefaults,
  { scratch: toggle('train the same network from its first weights too, to compare', false) },
);
