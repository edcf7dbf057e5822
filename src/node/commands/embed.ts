import type { Command } from './command.js';
import { UsageError } from './flags.js';

export const embed: Command = {
  name: 'embed',
  summary: 'write the embeddings of the images in a folder',
  usage: 'embed DIR --weights FILE --out FILE',
  positional: ['DIR, a folder of images'],
  flags: [
    {
      flag: '--weights',
      key: 'weights',
      value: 'FILE',
      doc: 'an encoder, as slim.safetensors of a run',
      default: 'needed',
    },
    {
      flag: '--out',
      key: 'out',
      value: 'FILE',
      doc: 'where to write: .csv for text, else safetensors with `embeddings` (N, F) and the file names as metadata',
      default: 'embeddings.safetensors',
    },
  ],
  examples: [
    ['slimgrad embed photos --weights runs/demo-0/slim.safetensors', 'to embeddings.safetensors'],
    ['slimgrad embed photos --weights slim.safetensors --out photos.csv', 'a line an image: file, then numbers'],
  ],
  async run({ values, positional }) {
    const { weights, out = 'embeddings.safetensors' } = values;
    if (weights === undefined) throw new UsageError('--weights: needed, but not given; see slimgrad embed --help');
    const { embedFolder } = await import('../embed_folder.js');
    const { images, features } = await embedFolder(positional[0], String(weights), String(out));
    console.log(`Wrote ${images} embeddings of ${features} numbers to ${out}`);
    return 0;
  },
};
