import { type EncoderName, encoderNames } from '../../config/encoders.js';
import { unknown } from '../../config/names.js';
import type { Command } from './command.js';
import { UsageError } from './flags.js';
import { rangeFlag } from './settings.js';

const whole = (text: string): unknown => (/^\d{1,10}$/.test(text) ? Number(text) : text);
const decimal = (text: string): unknown => (/^\d{1,10}(\.\d{1,10})?$/.test(text) ? Number(text) : text);

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
      doc: 'an encoder, as slim.safetensors of a run; or a state dict of torchvision, whose --encoder must be named',
      default: 'needed',
    },
    {
      flag: '--encoder',
      key: 'encoder',
      value: encoderNames.join('|'),
      doc: 'the network of a torchvision file',
    },
    {
      flag: '--image-size',
      key: 'imageSize',
      value: 'N',
      doc: 'side in pixels that images are cut to, for a torchvision file',
      default: '224',
      fromText: whole,
    },
    rangeFlag,
    {
      flag: '--resize',
      key: 'resize',
      value: 'N',
      doc: 'what the shorter side is resized to before the square is cut out, for a torchvision file: its own weights want 256 or 232',
      default: 'the image size',
      fromText: whole,
    },
    {
      flag: '--interpolation',
      key: 'interpolation',
      value: 'bicubic|bilinear',
      doc: "how images are resized, for a torchvision file: torchvision's own weights want bilinear",
      default: 'bicubic',
    },
    {
      flag: '--width',
      key: 'width',
      value: 'W',
      doc: 'width multiplier of the network in a torchvision file',
      default: '1',
      fromText: decimal,
    },
    {
      flag: '--prefix',
      key: 'prefix',
      value: 'TEXT',
      doc: "what a torchvision file's names have before the network's, as module.encoder_q.; needed where it holds several",
      default: 'found',
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
    ['slimgrad embed photos --weights resnet50.safetensors --encoder resnet50', 'by the weights of torchvision'],
  ],
  async run({ values, positional }) {
    const { weights, encoder, range, out = 'embeddings.safetensors', ...options } = values;
    if (weights === undefined) throw new UsageError('--weights: needed, but not given; see slimgrad embed --help');
    const [given] = Object.keys(options);
    if (given !== undefined && encoder === undefined)
      throw new UsageError(
        `${embed.flags.find(({ key }) => key === given)?.flag}: for a torchvision file only, whose --encoder must be named; a run has its own`,
      );
    if (encoder !== undefined && !encoderNames.some((name) => name === encoder))
      throw unknown('encoder', String(encoder), encoderNames);
    const torchvision = encoder === undefined ? undefined : { encoder: encoder as EncoderName, ...options };
    const { embedFolder } = await import('./embed_folder.js');
    const { images, features } = await embedFolder(positional[0], String(weights), String(out), {
      torchvision,
      ...(range !== undefined && { range: range as readonly [number, number] }),
    });
    console.log(`Wrote ${images} embeddings of ${features} numbers to ${out}`);
    return 0;
  },
};
