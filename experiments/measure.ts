import { dirname } from 'node:path';
import {
  backbone,
  type Device,
  ImageEncoder,
  linearEvaluation,
  methodOf,
  NonFiniteError,
  pixelEncoder,
  slimOf,
  Trainer,
  trainerOptionsOf,
  type WeightedEncoder,
  writeEncoder,
} from '../src/index.js';
import { readInit } from '../src/node/run/init_file.js';
import { openTeacher } from '../src/node/run/teacher_file.js';
import { makeFolder, writeFileAtomic } from '../src/node/system/files.js';
import { type Baseline, type Dataset, evaluate, pixelBaseline } from '../src/node.js';
import { type Experiment, teacherOf } from './experiment.js';
import type { Line } from './results.js';
import { linearOptions } from './settings.js';

/** What an experiment gave, but for where and when. */
export type Measured = Pick<Line, 'images' | 'flops' | 'teacherFlops' | 'imagesPerSecond' | 'scores' | 'tested'>;

/** The time is up in the midst of a run. */
export class OutOfTime extends Error {}

export interface Surroundings {
  readonly device: Device;
  readonly dataset: Dataset;
  /** `performance.now()` at which a run is given up. */
  readonly deadline: number;
  /** Where its encoder is kept, for others to learn from. */
  readonly keep?: string;
}

/**
 * Makes an experiment: trains, then measures what the slim encoder is worth. The files of what it learns and starts from are there.
 *
 * @throws OutOfTime after the deadline; SlimgradError where the run cannot be made, or the loss does not stay finite
 */
export async function measure(experiment: Experiment, around: Surroundings): Promise<Measured> {
  const { subject, config, flops, start } = experiment;
  const teacher = teacherOf(experiment);
  const { device } = around;
  const { imageSize, seed } = config;
  if (subject === 'raw pixels') {
    const pixels = pixelEncoder(device, imageSize);
    try {
      return { images: 0, flops: 0, ...(await score(around, pixelBaseline(imageSize), pixels, seed)) };
    } finally {
      pixels.dispose();
    }
  }
  const { state, images, pace } = await train(experiment, around);
  using encoder = new ImageEncoder(device, { encoder: slimOf(backbone(config)), state, imageSize });
  const scored = await score(around, { name: 'slim encoder', embedder: encoder, ranked: true }, encoder, seed);
  const spent = teacher ? { teacherFlops: teacher.flops } : {};
  const before = (start?.config.steps ?? 0) * config.batch;
  return { images: before + images, flops, ...spent, ...(pace && { imagesPerSecond: pace }), ...scored };
}

async function train({ subject, config }: Experiment, { device, dataset, deadline, keep }: Surroundings) {
  const teacher = await openTeacher(config, device);
  try {
    const init = await readInit(config);
    const trainer = await Trainer.open(device, methodOf(config, teacher), dataset.train, {
      ...trainerOptionsOf(config),
      ...(init && { init }),
    });
    try {
      const times: number[] = [];
      while (subject === 'trained' && trainer.step < trainer.steps) {
        const started = performance.now();
        if (started > deadline) throw new OutOfTime();
        const { loss, step } = await trainer.train();
        if (!Number.isFinite(loss))
          throw new NonFiniteError(`the loss is ${loss} after step ${step} of ${trainer.steps}`);
        times.push(performance.now() - started);
      }
      const state = await trainer.encoderState('slim');
      if (keep !== undefined) {
        const about = { encoder: slimOf(backbone(config)), imageSize: config.imageSize, step: trainer.step };
        await makeFolder(dirname(keep));
        await writeFileAtomic(keep, writeEncoder({ ...about, state, part: 'slim', config, metadata: {} }));
      }
      const steady = times.slice(1).sort((a, b) => a - b); // the first compiles
      const median = steady[steady.length >> 1];
      return { state, images: trainer.step * config.batch, pace: median && (1000 * config.batch) / median };
    } finally {
      trainer.dispose();
    }
  } finally {
    teacher?.dispose();
  }
}

/** kNN, retrieval and a linear layer on what the data set holds out. */
async function score(
  { device, dataset }: Surroundings,
  contender: Baseline,
  encoder: WeightedEncoder,
  seed: number,
): Promise<Pick<Measured, 'scores' | 'tested'>> {
  const { train, test } = dataset;
  if (!test) throw new Error('internal: experiments need test images');
  const { scores } = await evaluate(dataset, [contender], { map: 'none', device });
  const { knn = 0, top1, top5, effectiveRank } = scores[0];
  const twins = top1 === undefined ? {} : { top1, top5 };
  const rank = effectiveRank === undefined ? {} : { effectiveRank };
  const found = await linearEvaluation(device, encoder, train, test, { ...linearOptions, seed });
  const pairs = test.images === 2 ? { pairs: test.length } : {};
  return {
    scores: { knn, linear: found.top1, ...twins, ...rank },
    tested: { images: test.length * test.images, ...pairs },
  };
}
