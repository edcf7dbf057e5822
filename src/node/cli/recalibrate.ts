// `slimgrad recalibrate`: re-estimates batchnorm statistics from other images.

import { withDefaults } from '../../checks/options.js';
import { flagsOf } from '../../config/flags.js';
import { required, text } from '../../config/kinds.js';
import { eachImage } from '../../data/derived.js';
import { writeEncoder } from '../../inference/encoder_file.js';
import { ImageEncoder } from '../../inference/image_encoder.js';
import { openDataset } from '../data/datasets.js';
import { openDevice } from '../device/device.js';
import { downsample } from '../eval/evaluate.js';
import { type DataChoice, evaluationOptions, mostImages } from '../eval/subject.js';
import { checkPlace, writeFileAtomic } from '../system/files.js';
import { readWeights, type WeightsFile } from '../system/weights_file.js';
import type { Command } from './command.js';
import { completeFlags } from './flags.js';
import { dataChoice, given, subjectSettings } from './subject.js';

const settings = {
  weights: subjectSettings.weights,
  part: subjectSettings.part,
  data: text('the images; of data with a split, the training images', required, subjectSettings.data.value),
  ...dataChoice,
  out: text('where to write the encoder', required, 'FILE'),
};

export const recalibrateCommand: Command = {
  usage: 'recalibrate --weights FILE --data DIR|emoji|... --out FILE',
  positional: [],
  flags: flagsOf(settings),
  examples: [['slimgrad recalibrate --weights a.safetensors --data photos --out b.safetensors', 'for your own images']],
  async run({ values }) {
    const { weights: path, part, data, out, ...options } = completeFlags('slimgrad recalibrate', settings, values);
    await checkPlace(out);
    const images = await recalibrateFile(await readWeights(path, part), data, out, given(options));
    console.log(`Wrote the encoder with the statistics of ${images} images to ${out}`);
    return 0;
  },
};

/**
 * Re-estimates the running statistics of the encoder in `weights` from the training images of `data`, at most 20,000 of them,
 * and writes the encoder, with its classifier if it has one, to `out`, which may be the file it was read from.
 *
 * @returns how many images there were
 * @throws DataError where a file cannot be used
 */
async function recalibrateFile(
  { encoder: file }: WeightsFile,
  data: string,
  out: string,
  choice: DataChoice = {},
): Promise<number> {
  const dataset = await openDataset(data, {
    ...withDefaults(evaluationOptions(file.config, data), choice),
    protocol: 'augmented',
  });
  for (const note of dataset.notes) console.error(note);
  const images = downsample(eachImage(dataset.train), mostImages);
  const device = await openDevice();
  try {
    const encoder = new ImageEncoder(device, file);
    await encoder.recalibrate(images);
    const metadata = { ...file.metadata, recalibrated: data };
    await writeFileAtomic(out, writeEncoder({ ...file, state: await encoder.state(), metadata }));
  } finally {
    device.dispose();
  }
  return images.length;
}
