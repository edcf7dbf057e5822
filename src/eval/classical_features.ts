// Features that nobody trained, by which copies of images are commonly found: what a learned encoder must beat.
import { loadImage } from '../data/rgba_image.js';
import type { ImageSource, RgbaImage } from '../data/source.js';

/** Weights of red, green and blue in luminance (ITU-R BT.601). */
export const luminanceWeights = [0.299, 0.587, 0.114] as const;

/** A 64-bin color histogram of every image (N, 64): the square roots of the shares of 4 x 4 x 4 boxes of colors. */
export function colorHistograms(source: ImageSource): Promise<Float32Array> {
  return rows(source, 64, ({ pixels }, row) => {
    const count = pixels.length / 4;
    for (let at = 0; at < pixels.length; at += 4)
      row[((pixels[at] >> 6) << 4) | ((pixels[at + 1] >> 6) << 2) | (pixels[at + 2] >> 6)] += 1 / count;
    for (let bin = 0; bin < row.length; bin++) row[bin] = Math.sqrt(row[bin]);
  });
}

/**
 * The difference hash (dHash) of every image, (N, 64): of 9 x 8 cells of mean gray whether each is darker than the next in its row,
 * as 1 or -1. The dot product of two is 64 less twice their Hamming distance.
 */
export function differenceHashes(source: ImageSource): Promise<Float32Array> {
  return rows(source, 64, (image, row) => {
    const gray = grayCells(image, 9, 8);
    for (let y = 0; y < 8; y++)
      for (let x = 0; x < 8; x++) row[y * 8 + x] = gray[y * 9 + x] < gray[y * 9 + x + 1] ? 1 : -1;
  });
}

async function rows(
  source: ImageSource,
  features: number,
  fill: (image: RgbaImage, row: Float32Array) => void,
): Promise<Float32Array> {
  const out = new Float32Array(source.length * features);
  for (let item = 0; item < source.length; item++)
    fill(await loadImage(source, item, 0), out.subarray(item * features, (item + 1) * features));
  return out;
}

/** Mean luminance of across x down cells; a pixel belongs to the cell that its center lies in. */
function grayCells({ width, height, pixels }: RgbaImage, across: number, down: number): Float64Array {
  const sums = new Float64Array(across * down);
  const counts = new Float64Array(across * down);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const cell = Math.floor(((y + 0.5) * down) / height) * across + Math.floor(((x + 0.5) * across) / width);
      const at = (y * width + x) * 4;
      sums[cell] += luminanceWeights.reduce((sum, weight, c) => sum + weight * pixels[at + c], 0);
      counts[cell]++;
    }
  }
  return sums.map((sum, cell) => (counts[cell] > 0 ? sum / counts[cell] : 0));
}
