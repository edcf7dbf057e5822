import type { Command } from './command.js';
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
    const { classifyFolder } = await import('./classify_folder.js');
    const { images, counts } = await classifyFolder(positional[0], String(weights), String(out), {
      ...(range !== undefined && { range: range as readonly [number, number] }),
    });
    console.log(`Wrote the labels of ${images} images to ${out}`);
    const width = Math.max(...counts.map(([label]) => label.length));
    for (const [label, count] of counts) console.log(`  ${label.padEnd(width)}  ${count}`);
    return 0;
  },
};
