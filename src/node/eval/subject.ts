// What a command evaluates: an encoder's file and the data to evaluate it on.
import { resolve } from 'node:path';
import { withDefaults } from '../../checks/options.js';
import { methodOf } from '../../config/run.js';
import type { TrainConfig } from '../../config/settings.js';
import type { Width } from '../../core/parameters.js';
import { eachImage } from '../../data/derived.js';
import type { ImageSource } from '../../data/source.js';
import { leaveOutTrained, readTrained, type Trained } from '../../data/trained.js';
import { DataError } from '../../errors.js';
import { ImageEncoder } from '../../inference/image_encoder.js';
import type { Device } from '../../runtime/device.js';
import { initialState } from '../../train/initial_state.js';
import type { Dataset, DatasetOptions } from '../data/dataset.js';
import { datasetOptionsOf, openDataset } from '../data/datasets.js';
import { openDevice } from '../device/device.js';
import type { WeightsFile } from '../system/weights_file.js';
import { type Baseline, downsample, pixelBaseline } from './evaluate.js';

/** Which images of the data are used, and as what, where it is not as in the run that made the weights. */
export type DataChoice = Pick<DatasetOptions, 'trainDir' | 'testDir' | 'holdOut' | 'maxBad' | 'range'>;

/** Beyond this many images, batchnorm statistics hardly change. */
export const mostImages = 20_000;

export interface SubjectOptions extends DataChoice {
  /** Seed of the split of data that come without one; default the run's own. */
  splitSeed?: number;
  /** Re-estimate both encoders' running statistics from the training images first. */
  recalibrate?: boolean;
}

/** The options of a subject, and the others. */
export function partOptions<T extends SubjectOptions>(
  given: T,
): { subjectOptions: SubjectOptions; options: Omit<T, keyof SubjectOptions> } {
  const { splitSeed, recalibrate, trainDir, testDir, holdOut, maxBad, range, ...options } = given;
  return { subjectOptions: { splitSeed, recalibrate, trainDir, testDir, holdOut, maxBad, range }, options };
}

/** What an evaluation measures: an encoder from a file, the same encoder untrained, and the data. */
export interface EvalTarget {
  readonly weights: string;
  readonly config: TrainConfig;
  readonly part: Width;
  readonly splitSeed: number;
  /** Twins are images of one item here. */
  readonly dataset: Dataset & { readonly test: NonNullable<Dataset['test']> };
  /** Whether training knew which drawings are twins. */
  readonly isPaired: boolean;
  readonly device: Device;
  readonly trained: ImageEncoder;
  /** The items that its weights were trained on. */
  readonly seen: Trained;
  readonly untrained: ImageEncoder;
  dispose(): void;
}

/**
 * Opens the encoder in `weights` and the data to measure it on. Data that come without a split are split by the run's own
 * seed, so that nothing trained on is tested.
 *
 * @param check refuses data that nothing can be measured on, before a device is opened
 * @throws DataError where a file cannot be used
 */
export async function openSubject(
  { weights, encoder: file }: WeightsFile,
  data: string,
  check: (dataset: Dataset) => asserts dataset is EvalTarget['dataset'],
  { splitSeed: asked, recalibrate = false, ...choice }: SubjectOptions = {},
): Promise<EvalTarget> {
  const { config, part, metadata } = file;
  const splitSeed = asked ?? config.seed;
  const seen = readTrained(metadata.trained, weights);
  const opened: Dataset = await openDataset(data, {
    ...withDefaults(evaluationOptions(config, data), choice),
    seed: splitSeed,
    ...(data === 'emoji' && { protocol: 'paired' }),
  });
  check(opened);
  for (const note of opened.notes) console.error(note);
  const dataset = { ...opened, test: unseen(opened, seen, weights) };
  const isPaired = data === 'emoji' && config.data === 'emoji' && config.protocol === 'paired';
  const device = await openDevice();
  const encoders: ImageEncoder[] = [];
  const dispose = () => {
    for (const encoder of encoders) encoder.dispose();
    device.dispose();
  };
  try {
    const trained = new ImageEncoder(device, file);
    encoders.push(trained);
    const untrained = new ImageEncoder(device, {
      ...file,
      state: await initialState(device, methodOf(config), part, config.seed),
    });
    encoders.push(untrained);
    if (recalibrate)
      for (const encoder of encoders) await encoder.recalibrate(downsample(eachImage(dataset.train), mostImages));
    return { weights, config, part, splitSeed, dataset, isPaired, device, trained, seen, untrained, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/**
 * Data as an encoder's own run saw them, where they are the run's own; other data have parts of their own. Evaluation is by labels and by
 * images that are held out, whether the run had any or not.
 */
export function evaluationOptions(config: TrainConfig, data: string): DatasetOptions {
  const { imageSize, range, seed, labels, holdOut } = config;
  if (resolve(data) !== resolve(config.data)) return { imageSize, range, seed, protocol: 'augmented' };
  return { ...datasetOptionsOf(config), labels: true, holdOut: labels && holdOut > 0 ? holdOut : undefined };
}

/** What there is to test with: without the items that the weights were trained on, but for a part that came with the data. */
function unseen({ test, isDrawn }: EvalTarget['dataset'], seen: Trained, weights: string): ImageSource {
  const { fresh, known } = leaveOutTrained(test, seen);
  if (known === 0) return test;
  if (!isDrawn) {
    console.error(
      `${test.name}: ${weights} was trained on ${known} of the ${test.length} images to test with, or on copies of them`,
    );
    return test;
  }
  if (fresh.length === 0)
    throw new DataError(
      `${test.name}: ${weights} was trained on all of the ${known} images that there are to test with; give others`,
    );
  console.error(
    `${test.name}: ${weights} was trained on ${known} of the ${test.length} test images; they are excluded`,
  );
  return fresh;
}

/** The rows of a table: the encoder, the same untrained, and raw pixels. */
export function contendersOf({ part, trained, untrained, config }: EvalTarget): Baseline[] {
  return [
    { name: `${part} encoder, trained`, embedder: trained, ranked: true },
    { name: `${part} encoder, untrained`, embedder: untrained, ranked: true },
    pixelBaseline(config.imageSize),
  ];
}

/** The data as kNN and retrieval see them: an encoder of other data did not know which drawings are twins. */
export function searched({ dataset, isPaired }: EvalTarget): Dataset {
  return isPaired ? dataset : { ...dataset, train: eachImage(dataset.train) };
}
