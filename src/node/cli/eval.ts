// `slimgrad eval`: kNN accuracy and retrieval of an encoder, compared with baselines.
import { flagsOf } from '../../config/flags.js';
import { integer, text } from '../../config/kinds.js';
import { DataError } from '../../errors.js';
import { knnDefaults } from '../../metrics/knn.js';
import type { Dataset } from '../data/dataset.js';
import { type EvaluateOptions, evaluate } from '../eval/evaluate.js';
import type { Result } from '../eval/scores.js';
import {
  contendersOf,
  type EvalTarget,
  openSubject,
  partOptions,
  type SubjectOptions,
  searched,
} from '../eval/subject.js';
import { placeOf, publish } from '../run/results.js';
import { readWeights, type WeightsFile } from '../system/weights_file.js';
import type { Command } from './command.js';
import { completeFlags } from './flags.js';
import { given, resultSettings, subjectSettings } from './subject.js';

const settings = {
  ...subjectSettings,
  k: integer('neighbors of kNN', knnDefaults.k, { min: 1, max: 2 ** 32 - 1 }),
  ...resultSettings,
  json: text('also write the metrics as JSON', '', 'FILE', { shown: '' }),
};

export const evalCommand: Command = {
  usage: 'eval --weights FILE --data DIR|emoji|... [FLAGS]',
  positional: [],
  flags: flagsOf(settings),
  examples: [
    ['slimgrad eval --weights runs/demo-0/slim.safetensors --data emoji', 'held-out emoji'],
    ['slimgrad eval --weights slim.safetensors --data photos --k 5', 'a labeled folder'],
  ],
  async run({ values }) {
    const {
      weights: path,
      part,
      data,
      out,
      report,
      json,
      ...options
    } = completeFlags('slimgrad eval', settings, values);
    const { checkPlace, writeFileAtomic } = await import('../system/files.js');
    if (json) await checkPlace(json);
    const weights = await readWeights(path, part);
    const place = await placeOf('eval', weights, data, { out, report });
    const result = await evaluateFile(place, data, given(options));
    await publish(result, place);
    if (json) await writeFileAtomic(json, `${JSON.stringify(result, null, 2)}\n`);
    return 0;
  },
};

/**
 * Measures an encoder on the held-out images of `data`, compared with the same encoder untrained and with raw pixels.
 * Data without a split of their own are split by the run's seed, so that no training image is tested on.
 *
 * @throws DataError where a file cannot be used, or nothing can be measured on `data`
 */
async function evaluateFile(
  file: WeightsFile,
  data: string,
  given: EvaluateOptions & SubjectOptions = {},
): Promise<Result> {
  const { subjectOptions, options } = partOptions(given);
  const { recalibrate } = subjectOptions;
  const subject = await openSubject(file, data, measurable, subjectOptions);
  try {
    const { weights, part, device, splitSeed: seed } = subject;
    const evaluation = await evaluate(searched(subject), contendersOf(subject), { ...options, device });
    const settings = { 'split seed': seed, ...(recalibrate && { recalibrated: true }), ...options };
    return { ...evaluation, what: 'eval', weights, part, data, adapter: device.name, settings };
  } finally {
    subject.dispose();
  }
}

function measurable(dataset: Dataset): asserts dataset is EvalTarget['dataset'] {
  const { name, train, test } = dataset;
  if (!test || (!test.labels && test.images === 1)) {
    throw new DataError(
      `eval: ${name} has no labels or no held-out images: expected at least two sub-folders whose names are the labels, or emoji`,
    );
  }
  if (test.images === 1 && new Set(train.labels).size < 2) {
    throw new DataError(`eval: ${name} has a single class; expected at least two`);
  }
}
