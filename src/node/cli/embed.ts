import { type EncoderName, encoderNames } from '../../config/encoders.js';
import { unknown } from '../../config/names.js';
import { f32, writeSafetensors } from '../../formats/safetensors.js';
import type { TorchvisionOptions } from '../../inference/image_encoder.js';
import { type ImageFolder, type ImageFolderOptions, openImageFolder } from '../data/image_folder.js';
import { loadEncoder, loadTorchvision } from '../run/load_encoder.js';
import { checkPlace, writeFileAtomic } from '../system/files.js';
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
    const { images, features } = await embedFolder(positional[0], String(weights), String(out), {
      torchvision,
      ...(range !== undefined && { range: range as readonly [number, number] }),
    });
    console.log(`Wrote ${images} embeddings of ${features} numbers to ${out}`);
    return 0;
  },
};

/**
 * Embeds every usable image of `folder` with the encoder in `weights`, and writes the rows to `out`: as CSV (file, then
 * F numbers) where its name ends in .csv, else as safetensors with `embeddings` (N, F) and the names as JSON under
 * `files` of its metadata. With `torchvision`, the weights are a state dict of the network that it names. `range` is for images of more than
 * 8 bits (`ImageFolderOptions`); that of the encoder's training unless told.
 */
export async function embedFolder(
  folder: string,
  weights: string,
  out: string,
  { torchvision, range }: { torchvision?: TorchvisionOptions | undefined; range?: ImageFolderOptions['range'] } = {},
): Promise<{ images: number; features: number }> {
  await checkPlace(out);
  const encoder = await (torchvision ? loadTorchvision(weights, torchvision) : loadEncoder(weights));
  try {
    const { features, imageSize, square } = encoder;
    const images = await usableImages(folder, { size: imageSize, ...square }, range ?? encoder.config?.range);
    const rows = await encoder.embed(images);
    const bytes = /\.csv$/i.test(out)
      ? csv(images.files, rows, features)
      : writeSafetensors([['embeddings', f32([images.length, features], rows)]], {
          files: JSON.stringify(images.files),
        });
    await writeFileAtomic(out, bytes);
    return { images: images.length, features };
  } finally {
    encoder.dispose();
  }
}

/** The images of a folder, as squares that an encoder sees. Those that cannot be used are skipped and told on stderr. */
export async function usableImages(
  folder: string,
  square: ImageFolderOptions['square'],
  range?: ImageFolderOptions['range'],
): Promise<ImageFolder> {
  const images = await openImageFolder(folder, { square, labels: false, maxBad: 1, range });
  const { skipped, leftOutText } = images;
  for (const { file, reason } of skipped) console.error(`skipped ${file}: ${reason}`);
  if (leftOutText) console.error(`${folder}: ${images.length} images; left out: ${leftOutText}`);
  return images;
}

/** Lines of text, the first with the columns' names. Numbers have all the digits that f32 tells apart. */
export function* csv(files: readonly string[], rows: Float32Array, features: number): Generator<string> {
  const digits = (value: number) => String(Number(value.toPrecision(9)));
  yield `${['file', ...Array.from({ length: features }, (_, f) => `f${f}`)].join(',')}\n`;
  for (const [n, file] of files.entries())
    yield `${[csvField(file), ...Array.from(rows.subarray(n * features, (n + 1) * features), digits)].join(',')}\n`;
}

/** A name as a field of a line, quoted where RFC 4180 asks. */
export function csvField(name: string): string {
  return /[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}
