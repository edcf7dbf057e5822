// Raw pixels as a baseline: images as embeddings of themselves.
import { Parameters } from '../core/parameters.js';
import { loadImage } from '../data/rgba_image.js';
import type { ImageSource, RgbaImage } from '../data/source.js';
import type { WeightedEncoder } from '../inference/features.js';
import type { Device } from '../runtime/device.js';

/**
 * Images as embeddings (N, 3 x size x size) of their own pixels in 0..1, less the mean over all: what a learned
 * encoder is measured against. Without the mean, cosine similarity would see little but the common background.
 */
export async function rawPixels(source: ImageSource, size: number): Promise<Float32Array> {
  const features = 3 * size * size;
  const rows = new Float32Array(source.length * features);
  for (let item = 0; item < source.length; item++)
    rows.set(shrink(await loadImage(source, item, 0), size), item * features);
  const sum = new Float64Array(features);
  for (let i = 0; i < rows.length; i++) sum[i % features] += rows[i];
  for (let i = 0; i < rows.length; i++) rows[i] -= sum[i % features] / source.length;
  return rows;
}

/**
 * An encoder that has learned nothing and cannot: its features (N, 3 x size x size) are the pixels of the view that it is
 * given. What a linear layer makes of them is the control of a linear evaluation. Free it by `dispose()`.
 */
export function pixelEncoder(device: Device, size: number): WeightedEncoder & { dispose(): void } {
  const parameters = new Parameters(device, [], [], { bn: 'shared' });
  const features = 3 * size * size;
  return {
    backbone: {
      parameters: [],
      statistics: [],
      features: { host: features, slim: features },
      stride: 1,
      forward: ({ tape }, x) => tape.reshape(x, [x.shape[0], features]),
    },
    parameters,
    imageSize: size,
    dispose: () => parameters.dispose(),
  };
}

/** An image averaged over the areas of size x size cells, RGB planes in 0..1. */
export function shrink({ width, height, pixels }: RgbaImage, size: number): Float32Array {
  const across = cells(width, size);
  const down = cells(height, size);
  const out = new Float32Array(3 * size * size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      for (const [row, share] of down[y]) {
        for (const [column, part] of across[x]) {
          const at = (row * width + column) * 4;
          const weight = (share * part) / 255;
          for (let c = 0; c < 3; c++) out[(c * size + y) * size + x] += pixels[at + c] * weight;
        }
      }
    }
  }
  return out;
}

/** For each of `count` equal cells of [0, length): the pixels it covers, and the share of the cell that each fills. */
function cells(length: number, count: number): [pixel: number, share: number][][] {
  const side = length / count;
  return Array.from({ length: count }, (_, cell) => {
    const covered: [number, number][] = [];
    for (let pixel = Math.floor(cell * side); pixel < Math.min(length, Math.ceil((cell + 1) * side)); pixel++) {
      const share = (Math.min(pixel + 1, (cell + 1) * side) - Math.max(pixel, cell * side)) / side;
      if (share > 0) covered.push([pixel, share]);
    }
    return covered;
  });
}
