import { eachPicture } from '../data/source.js';
import { readEncoder, writeEncoder } from '../encoder_file.js';
import { openEncoder } from '../image_encoder.js';
import { readSafetensors, toFloat32 } from '../io/safetensors.js';
import type { Tensors } from '../parameters.js';
import { openDataset } from './data/datasets.js';
import { openDevice } from './device.js';
import { thin } from './evaluate.js';
import { checkPlace, readBytes, writeFileAtomic } from './files.js';

/** Beyond so many pictures, statistics hardly change. */
export const mostPictures = 20_000;

/**
 * Estimates the running statistics of the encoder in `weights` anew from the training pictures of `data`, at most 20,000 of them,
 * and writes the encoder, with its classifier where it has one, to `out`, which may be `weights` itself.
 *
 * @returns how many pictures there were
 * @throws DataError where a file cannot be used
 */
export async function recalibrateFile(weights: string, data: string, out: string): Promise<number> {
  await checkPlace(out);
  const bytes = await readBytes(weights);
  const { metadata, config } = readEncoder(bytes, weights);
  const { seed, imageSize } = config;
  const dataset = await openDataset(data, { seed, imageSize, protocol: 'augmented' });
  for (const note of dataset.notes) console.error(note);
  const pictures = thin(eachPicture(dataset.train), mostPictures);
  const device = await openDevice();
  try {
    const encoder = openEncoder(device, bytes, weights);
    await encoder.recalibrate(pictures);
    const state = new Map([...(await encoder.state()), ...classifierOf(bytes, weights)]);
    await writeFileAtomic(out, writeEncoder(state, { ...metadata, recalibrated: data }));
  } finally {
    device.dispose();
  }
  return pictures.length;
}

/** What a fine-tuned encoder's file holds beside the encoder. */
function classifierOf(bytes: Uint8Array, file: string): Tensors {
  const tensors = [...readSafetensors(bytes, file).tensors].filter(([name]) => name.startsWith('classifier.'));
  return new Map(tensors.map(([name, t]) => [name, { shape: [...t.shape], data: toFloat32(t, `${file}: ${name}`) }]));
}
