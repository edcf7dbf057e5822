// `slimgrad classify`: the classes of the images in a folder, as CSV.
import { dataSettings } from '../../config/data.js';
import { flagsOf } from '../../config/flags.js';
import { required, text } from '../../config/kinds.js';
import type { ImageFolderOptions } from '../data/image_folder.js';
import { loadClassifier } from '../run/load_encoder.js';
import { checkPlace, writeFileAtomic } from '../system/files.js';
import { classifierFile } from '../system/weights_file.js';
import type { Command } from './command.js';
import { csvField, usableImages } from './embed.js';
import { completeFlags } from './flags.js';
import { given } from './subject.js';

const settings = {
  weights: text(
    'an encoder with a classifier: the finetune-*.safetensors or linear-*.safetensors that those commands write, or a run folder with one',
    required,
    'FILE',
  ),
  range: { ...dataSettings.range, shown: "that of the encoder's training" },
  out: text(
    'where to write: a CSV file with the name, the label and the probability of every class',
    'labels.csv',
    'FILE',
  ),
};

export const classifyCommand: Command = {
  usage: 'classify DIR --weights FILE --out FILE',
  positional: [text('a folder of images', required, 'DIR')],
  flags: flagsOf(settings),
  examples: [
    ['slimgrad classify new --weights runs/photos/finetune-slim-photos.safetensors', 'to labels.csv'],
    ['slimgrad classify new --weights linear-slim-photos.safetensors --out new.csv', 'with a linear layer'],
  ],
  async run({ values, positional: [folder] }) {
    const { weights, out, ...options } = completeFlags('slimgrad classify', settings, values);
    const { images, counts } = await classifyFolder(folder, await classifierFile(weights), out, given(options));
    console.log(`Wrote the labels of ${images} images to ${out}`);
    const width = Math.max(...counts.map(([label]) => label.length));
    for (const [label, count] of counts) console.log(`  ${label.padEnd(width)}  ${count}`);
    return 0;
  },
};

/**
 * Classifies every usable image of `folder` with the encoder and classifier in `weights`, and writes one line per image to `out`
 * as CSV: file, label, and the probability of every class.
 *
 * @returns how many images were predicted as each class, the most frequent first
 * @throws DataError where a file cannot be used or has no classifier
 */
async function classifyFolder(
  folder: string,
  weights: string,
  out: string,
  { range }: Pick<ImageFolderOptions, 'range'> = {},
): Promise<{ images: number; counts: [label: string, images: number][] }> {
  await checkPlace(out);
  const classifier = await loadClassifier(weights);
  try {
    const { classes, encoder, config } = classifier;
    const images = await usableImages(folder, { size: encoder.imageSize, ...encoder.square }, range ?? config?.range);
    const { labels, probabilities } = await classifier.classify(images);
    await writeFileAtomic(out, csv(images.files, classes, labels, probabilities));
    const counts = classes.map((label, k): [string, number] => [label, labels.filter((found) => found === k).length]);
    return { images: images.length, counts: counts.filter(([, n]) => n > 0).sort(([, a], [, b]) => b - a) };
  } finally {
    classifier.dispose();
  }
}

function* csv(
  files: readonly string[],
  classes: readonly string[],
  labels: Int32Array,
  probabilities: Float32Array,
): Generator<string> {
  yield `${['file', 'label', ...classes].map(csvField).join(',')}\n`;
  for (const [n, file] of files.entries()) {
    const row = probabilities.subarray(n * classes.length, (n + 1) * classes.length);
    const shares = Array.from(row, (share) => String(Number(share.toPrecision(6))));
    yield `${[csvField(file), csvField(classes[labels[n]]), ...shares].join(',')}\n`;
  }
}
