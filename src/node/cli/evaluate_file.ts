import { DataError } from '../../errors.js';
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
  type WeightsFile,
} from '../eval/subject.js';

/**
 * Measures the encoder of a file on what is held out of `data`, beside the same encoder untrained and raw pixels.
 * Data that come without a split are split by the run's own seed, so that nothing trained on is tested.
 *
 * @throws DataError where a file cannot be used, or nothing can be measured on `data`
 */
export async function evaluateFile(
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
      `eval: ${name} has no labels to measure by, or nothing is held out of it: expected two sub-folders or more whose names are the labels, or emoji`,
    );
  }
  if (test.images === 1 && new Set(train.labels).size < 2) {
    throw new DataError(`eval: ${name} has a single class; expected at least two`);
  }
}
