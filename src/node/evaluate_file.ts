import { eachPicture } from '../data/source.js';
import { readEncoder } from '../encoder_file.js';
import { ConfigError } from '../errors.js';
import { ImageEncoder, openEncoder } from '../image_encoder.js';
import { initialState } from '../train.js';
import { openDataset } from './data/datasets.js';
import { openDevice } from './device.js';
import { type EvaluateOptions, evaluate, pixelContender, thin } from './evaluate.js';
import { readBytes } from './files.js';
import { mostPictures } from './recalibrate_file.js';
import type { Evaluation } from './scores.js';

export interface EvaluateFileOptions extends EvaluateOptions {
  /** Of the split; the run's own unless told. */
  seed?: number;
  /** First estimate both encoders' running statistics anew from the training pictures. */
  recalibrate?: boolean;
}

/**
 * Measures the encoder in `weights` on what is held out of `data`, beside the same encoder untrained and raw pixels.
 * Data that come without a split are split by the run's own seed, so that nothing trained on is tested.
 *
 * @throws DataError where a file cannot be used; ConfigError where nothing can be measured on `data`
 */
export async function evaluateFile(
  weights: string,
  data: string,
  { seed, recalibrate = false, ...options }: EvaluateFileOptions = {},
): Promise<Evaluation> {
  const bytes = await readBytes(weights);
  const { config, part } = readEncoder(bytes, weights);
  // An encoder of other data was not told which drawings are twins.
  const protocol = data === 'emoji' && config.data === 'emoji' ? config.protocol : 'augmented';
  const { imageSize } = config;
  const dataset = await openDataset(data, { seed: seed ?? config.seed, imageSize, protocol });
  if (!dataset.test || (!dataset.test.labels && dataset.test.pictures === 1)) {
    throw new ConfigError(
      `eval: ${data} has no labels to measure by: expected sub-folders whose names are the labels, or emoji`,
    );
  }
  if (dataset.test.pictures === 1 && new Set(dataset.train.labels).size < 2) {
    throw new ConfigError(
      `eval: all of ${data} has one label, which leaves nothing to tell apart: expected two at least`,
    );
  }
  for (const note of dataset.notes) console.error(note);
  const device = await openDevice();
  const encoders: ImageEncoder[] = [];
  try {
    encoders.push(openEncoder(device, bytes, weights));
    encoders.push(new ImageEncoder(device, config, await initialState(device, config, part), part));
    if (recalibrate)
      for (const encoder of encoders) await encoder.recalibrate(thin(eachPicture(dataset.train), mostPictures));
    const names = [`${part} encoder, trained`, `${part} encoder, untrained`];
    const contenders = encoders.map((embedder, i) => ({ name: names[i], embedder, ranked: true }));
    return await evaluate(dataset, [...contenders, pixelContender(config.imageSize)], options);
  } finally {
    for (const encoder of encoders) encoder.dispose();
    device.dispose();
  }
}
