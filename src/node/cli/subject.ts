// The settings that all evaluation commands share: the weights, the data, where the result goes.
import { dataSettings } from '../../config/data.js';
import { choice, integer, number, required, text, toggle } from '../../config/kinds.js';
import type { Width } from '../../core/parameters.js';
import { mapMethods } from '../eval/feature_map.js';
import { UsageError } from './flags.js';

const mostSeed = 2 ** 32 - 1;

/** Which encoder. */
export const weightsSettings = {
  weights: text('an encoder: a run folder, or its slim.safetensors', required, 'FILE'),
  part: choice<Width | null>(
    'which encoder of a run folder; a file with the other one is refused',
    null,
    ['slim', 'host'],
    {
      shown: 'slim, or that of the file',
    },
  ),
};

/** What is evaluated, and on which data. */
export const subjectSettings = {
  ...weightsSettings,
  data: text(
    'labeled images; those held out of training are tested',
    required,
    'DIR|emoji|fashion-mnist|cifar10:DIR|cifar100:DIR|idx:DIR',
  ),
};

const { trainDir, testDir, maxBad, range } = dataSettings;
const own = { shown: "the run's, for its own data" };

/** Which images are for training and which for testing (docs/data.md). */
export const dataChoice = {
  trainDir: { ...trainDir, ...own },
  testDir: { ...testDir, ...own },
  holdOut: number<number | null>(dataSettings.holdOut.doc, null, {
    above: 0,
    below: 1,
    ...own,
  }),
  maxBad,
  range: { ...range, ...own },
};

/** How it is evaluated and where the result goes. */
export const resultSettings = {
  ...dataChoice,
  splitSeed: integer<number | null>('seed of the split, for data without one of their own', null, {
    min: 0,
    max: mostSeed,
    shown: "the run's",
  }),
  recalibrate: toggle('first re-estimate batchnorm statistics from the training images', false),
  map: {
    ...choice('how the report draws the features', 'pca', mapMethods),
    fromText: (given: string) => {
      if (given === 'tsne') throw new UsageError('--feature-map: t-SNE was removed; use pca');
      return given;
    },
  },
  out: text('folder of the JSON file and of the report.html that it extends', '', 'DIR', {
    shown: 'that of the weights',
  }),
  report: toggle('write the JSON file and the section of report.html', true),
};

/** The settings without those that have no value, for which the library's defaults apply. */
export function given<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null && value !== '')) as never;
}
