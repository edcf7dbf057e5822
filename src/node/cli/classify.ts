import type { ImageFolderOptions } from '../data/image_folder.js';
import { loadClassifier } from '../run/load_encoder.js';
import { checkPlace, writeFileAtomic } from '../system/files.js';
import type { Command } from './command.js';
import { csvField, usableImages } from './embed.js';
import { UsageError } from './flags.js';
import { rangeFlag } from './settings.js';

export const classify: Command = {
  name: 'classify',
  summary: 'write the classes of the images in a folder',
  usage: 'classify DIR --weights FILE --out FILE',
  positional: ['DIR, a folder of images'],
  flags: [
    {
      flag: '--weights',
      key: 'weights',
      value: 'FILE',
      doc: 'an encoder with a classifier, as finetune-*.safetensors or linear-*.safetensors of those commands',
      default: 'needed',
    },
    rangeFlag,
    {
      flag: '--out',
      key: 'out',
      value: 'FILE',
      doc: 'where to write: a CSV file of the name, the label and the probability of every class',
      default: 'labels.csv',
    },
  ],
  examples: [
    ['slimgrad classify new --weights runs/photos/finetune-slim-photos.safetensors', 'to labels.csv'],
    ['slimgrad classify new --weights runs/photos/linear-slim-photos.safetensors --out new.csv', 'by a linear layer'],
  ],
  async run({ values, positional }) {
    const { weights, range, out = 'labels.csv' } = values;
    if (weights === undefined) throw new UsageError('--weights: needed, but not given; see slimgrad classify --help');
    const { images, counts } = await classifyFolder(positional[0], String(weights), String(out), {
      ...(range !== undefined && { range: range as readonly [number, number] }),
    });
    console.log(`Wrote the labels of ${images} images to ${out}`);
    const width = Math.max(...counts.map(([label]) => label.length));
    for (const [label, count] of counts) console.log(`  ${label.padEnd(width)}  ${count}`);
    return 0;
  },
};

/**
 * Classifies every usable image of `folder` by the encoder and classifier in `weights`, and writes a line each to `out` as CSV:
 * file, label, and the probability of every class.
 *
 * @returns how many images were taken for each class, the most frequent first
 * @throws DataError where a file cannot be used or holds an encoder alone
 */
export async function classifyFolder(
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
