import type { TrainConfig } from '../config.js';
import { eachPicture } from '../data/source.js';
import { readEncoder } from '../encoder_file.js';
import { ImageEncoder } from '../image_encoder.js';
import type { Width } from '../parameters.js';
import type { Device } from '../runtime/device.js';
import { initialState } from '../train.js';
import { type Dataset, openDataset } from './data/datasets.js';
import { openDevice } from './device.js';
import { type Contender, pixelContender, thin } from './evaluate.js';
import { readBytes } from './files.js';
import { mostPictures } from './recalibrate_file.js';

export interface SubjectOptions {
  /** Of the split of data that come without one; the run's own unless told. */
  splitSeed?: number;
  /** First estimate both encoders' running statistics anew from the training pictures. */
  recalibrate?: boolean;
}

/** What an evaluation is of: an encoder from a file, the same untrained, and data to measure them on. */
export interface Subject {
  readonly weights: string;
  readonly config: TrainConfig;
  readonly part: Width;
  readonly splitSeed: number;
  /** Twins are pictures of one item here. */
  readonly dataset: Dataset & { readonly test: NonNullable<Dataset['test']> };
  /** Whether training was told which drawings are twins. */
  readonly isPaired: boolean;
  readonly device: Device;
  readonly trained: ImageEncoder;
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
  weights: string,
  data: string,
  check: (dataset: Dataset) => asserts dataset is Subject['dataset'],
  { splitSeed: asked, recalibrate = false }: SubjectOptions = {},
): Promise<Subject> {
  const { config, part, state } = readEncoder(await readBytes(weights), weights);
  const splitSeed = asked ?? config.seed;
  const dataset = await openDataset(data, {
    seed: splitSeed,
    imageSize: config.imageSize,
    ...(data === 'emoji' && { protocol: 'paired' }),
  });
  check(dataset);
  for (const note of dataset.notes) console.error(note);
  const isPaired = data === 'emoji' && config.data === 'emoji' && config.protocol === 'paired';
  const device = await openDevice();
  const encoders: ImageEncoder[] = [];
  const dispose = () => {
    for (const encoder of encoders) encoder.dispose();
    device.dispose();
  };
  try {
    const trained = new ImageEncoder(device, config, state, part, weights);
    encoders.push(trained);
    const untrained = new ImageEncoder(device, config, await initialState(device, config, part), part);
    encoders.push(untrained);
    if (recalibrate)
      for (const encoder of encoders) await encoder.recalibrate(thin(eachPicture(dataset.train), mostPictures));
    return { weights, config, part, splitSeed, dataset, isPaired, device, trained, untrained, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** The rows of a table: the encoder, the same untrained, and raw pixels. */
export function contendersOf({ part, trained, untrained, config }: Subject): Contender[] {
  return [
    { name: `${part} encoder, trained`, embedder: trained, ranked: true },
    { name: `${part} encoder, untrained`, embedder: untrained, ranked: true },
    pixelContender(config.imageSize),
  ];
}

/** The data as kNN and retrieval see them: an encoder of other data was not told which drawings are twins. */
export function searched({ dataset, isPaired }: Subject): Dataset {
  return isPaired ? dataset : { ...dataset, train: eachPicture(dataset.train) };
}
