// `slimgrad embed`: the embeddings of the images in a folder, as safetensors or CSV.
import { dataSettings } from '../../config/data.js';
import { type EncoderName, encoderNames } from '../../config/encoders.js';
import { flagOf, flagsOf } from '../../config/flags.js';
import { choice, integer, number, required, text } from '../../config/kinds.js';
import { f32, writeSafetensors } from '../../formats/safetensors.js';
import type { TorchvisionOptions } from '../../inference/image_encoder.js';
import { type ImageFolder, type ImageFolderOptions, openImageFolder } from '../data/image_folder.js';
import { loadEncoder, loadTorchvision } from '../run/load_encoder.js';
import { weightsFile } from '../run/weights_file.js';
import { checkPlace, writeFileAtomic } from '../system/files.js';
import type { Command } from './command.js';
import { completeFlags, UsageError } from './flags.js';
import { given, weightsSettings } from './subject.js';

const torchvisionSettings = {
  imageSize: integer<number | null>('side in pixels that images are cut to, for a torchvision file', null, {
    min: 1,
    shown: '224',
  }),
  resize: integer<number | null>(
    'what the shorter side is resized to before the square is cut out, for a torchvision file: its own weights want 256 or 232',
    null,
    { min: 1, shown: 'the image size' },
  ),
  interpolation: choice<'bicubic' | 'bilinear' | null>(
    "how images are resized, for a torchvision file: torchvision's own weights want bilinear",
    null,
    ['bicubic', 'bilinear'],
    { shown: 'bicubic' },
  ),
  width: number<number | null>('width multiplier of the network in a torchvision file', null, { above: 0, shown: '1' }),
  prefix: text<string | null>(
    "what a torchvision file's names have before the network's, as module.encoder_q.; required where it holds several",
    null,
    'TEXT',
    { shown: 'found' },
  ),
};

const settings = {
  weights: text(
    'an encoder: a run folder, or its slim.safetensors; or a state dict of torchvision, whose --encoder must be named',
    required,
    'FILE',
  ),
  part: weightsSettings.part,
  encoder: choice<EncoderName | null>('the network of a torchvision file', null, encoderNames),
  range: { ...dataSettings.range, shown: "that of the encoder's training" },
  ...torchvisionSettings,
  out: text(
    'where to write: .csv for text, else safetensors with `embeddings` (N, F) and the file names as metadata',
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
    ['slimgrad embed photos --weights slim.safetensors --out photos.csv', 'a line an image: file, then numbers'],
    ['slimgrad embed photos --weights resnet50.safetensors --encoder resnet50', 'by the weights of torchvision'],
  ],
  async run({ values, positional: [folder] }) {
    const { weights, part, encoder, range, out, ...options } = completeFlags('slimgrad embed', settings, values);
    const [own] = Object.keys(given(options));
    if (own !== undefined && encoder === null)
      throw new UsageError(
        `${flagOf(own)}: for a torchvision file only, whose --encoder must be named; a run has its own`,
      );
    if (part && encoder)
      throw new UsageError('--part: cannot be combined with --encoder; a torchvision file has one part');
    const torchvision = encoder === null ? undefined : { encoder, ...given(options) };
    const file = torchvision ? weights : await weightsFile(weights, part);
    const { images, features } = await embedFolder(folder, file, out, { torchvision, ...given({ range }) });
    console.log(`Wrote ${images} embeddings of ${features} numbers to ${out}`);
    return 0;
  },
};

/**
 * Embeds every usable image of `folder` with the encoder in `weights`, and writes the rows to `out`: as CSV (file, then
 * F numbers) where its name ends in .csv, else as safetensors with `embeddings` (N, F) and the names as JSON under
 * `files` of its metadata. With `torchvision`, the weights are a state dict of the network that it names. `range` is for images of more than
 * 8 bits (`ImageFolderOptions`); default that of the encoder's training.
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
