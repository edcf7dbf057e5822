import { f32, writeSafetensors } from '../../formats/safetensors.js';
import type { TorchvisionOptions } from '../../inference/image_encoder.js';
import { type ImageFolder, type ImageFolderOptions, openImageFolder } from '../data/image_folder.js';
import { loadEncoder, loadTorchvision } from '../run/load_encoder.js';
import { checkPlace, writeFileAtomic } from '../system/files.js';

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
