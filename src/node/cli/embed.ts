// `slimgrad embed`: the embeddings of the images in a folder, as safetensors or CSV.
import { dataSettings } from '../../config/data.js';
import { type EncoderName, encoderNames } from '../../config/encoders.js';
import { flagOf, flagsOf } from '../../config/flags.js';
import { choice, integer, number, required, text } from '../../config/kinds.js';
import { f32, writeSafetensors } from '../../formats/safetensors.js';
import { type ImageFolder, type ImageFolderOptions, openImageFolder } from '../data/image_folder.js';
import { type LoadedEncoder, loadTorchvision, openFile } from '../run/load_encoder.js';
import { checkPlace, writeFileAtomic } from '../system/files.js';
import { readWeights } from '../system/weights_file.js';
import type { Command } from './command.js';
import { completeFlags, UsageError } from './flags.js';
import { given, weightsSettings } from './subject.js';

const torchvisionSettings = {
  imageSize: integer<number | null>('side of the center crop in pixels, for a torchvision file', null, {
    min: 1,
    shown: '224',
  }),
  resize: integer<number | null>(
    "length of the shorter side before the center crop, for a torchvision file: torchvision's weights need 256 or 232",
    null,
    { min: 1, shown: 'the image size' },
  ),
  interpolation: choice<'bicubic' | 'bilinear' | null>(
    "how images are resized, for a torchvision file: torchvision's weights need bilinear",
    null,
    ['bicubic', 'bilinear'],
    { shown: 'bicubic' },
  ),
  width: number<number | null>('width multiplier of the network in a torchvision file', null, { above: 0, shown: '1' }),
  prefix: text<string | null>(
    'prefix of the names in a torchvision file, such as module.encoder_q.; required if several fit',
    null,
    'TEXT',
    { shown: 'found' },
  ),
};

const settings = {
  weights: text(
    'an encoder: a run folder, or its slim.safetensors; or a state dict of torchvision, which requires --encoder',
    required,
    'FILE',
  ),
  part: weightsSettings.part,
  encoder: choice<EncoderName | null>('the network of a torchvision file', null, encoderNames),
  range: { ...dataSettings.range, shown: "that of the encoder's training" },
  ...torchvisionSettings,
  out: text(
    'where to write: .csv for text, else safetensors with `embeddings` (N, F) and the file names in its metadata',
    'embeddings.safetensors',
    'FILE',
  ),
};

export const embedCommand: Command = {
  usage: 'embed DIR --weights FILE --out FILE',
  positional: [text('a folder of images', required, 'DIR')],
  flags: flagsOf(settings),
  examples: [
    ['slimgrad embed photos --weights runs/demo-0/slim.safetensors', 'to embeddings.safetensors'],
    ['slimgrad embed photos --weights slim.safetensors --out photos.csv', 'one line per image: file, then features'],
    ['slimgrad embed photos --weights resnet50.safetensors --encoder resnet50', 'with weights from torchvision'],
  ],
  async run({ values, positional: [folder] }) {
    const { weights, part, encoder, range, out, ...options } = completeFlags('slimgrad embed', settings, values);
    const [own] = Object.keys(given(options));
    if (own !== undefined && encoder === null)
      throw new UsageError(`${flagOf(own)}: only valid for a torchvision file, with --encoder; a run has its own`);
    if (part && encoder)
      throw new UsageError('--part: cannot be combined with --encoder; a torchvision file has one part');
    await checkPlace(out);
    const opened = await (encoder
      ? loadTorchvision(weights, { encoder, ...given(options) })
      : openFile((await readWeights(weights, part)).encoder));
    const images = await embedFolder(folder, opened, out, range);
    console.log(`Wrote ${images} embeddings of ${opened.features} dimensions to ${out}`);
    return 0;
  },
};

/**
 * Embeds every usable image of `folder`, disposes of the encoder, and writes the rows to `out`: as CSV (file, then F numbers)
 * if its name ends in .csv, else as safetensors with `embeddings` (N, F) and the names as JSON under `files` of its metadata.
 *
 * @param range of images of more than 8 bits (`ImageFolderOptions`); default that of the encoder's training
 * @returns how many images there were
 */
async function embedFolder(
  folder: string,
  encoder: LoadedEncoder,
  out: string,
  range: ImageFolderOptions['range'] | null,
): Promise<number> {
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
    return images.length;
  } finally {
    encoder.dispose();
  }
}

/** The images of a folder, as squares that an encoder sees. Those that cannot be used are skipped, with a line on stderr each. */
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

/** Lines of text, the first with the names of the columns. Values have the 9 digits that identify an f32. */
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
