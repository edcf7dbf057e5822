// Image files of many kinds, and the page that says how an encoder sees them: its code, to be run as it stands.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-web';
import sharp, { type Sharp } from 'sharp';
import * as assert from 'uvu/assert';
import { backbone } from '../src/config/encoders.js';
import { exportOnnx } from '../src/export/onnx.js';
import { ImageEncoder } from '../src/inference/image_encoder.js';
import { openImageFolder } from '../src/node/data/image_folder.js';
import type { Device } from '../src/runtime/device.js';
import { blocksOf } from './programs.js';
import { trained } from './train/trained.js';

const page = 'docs/guides/preprocessing.md';
/** What the page's example says. */
export const size = 32;

/** Writes the files that the page's blocks of a language begin with the names of. */
export function writeCode(folder: string, language: string): void {
  mkdirSync(folder, { recursive: true });
  for (const code of blocksOf(page, language)) {
    const [, name] = /^(?:\/\/|#) (\w+\.\w+)\n/.exec(code) ?? [];
    assert.ok(name, `${page}: expected a block that begins with its file's name, got ${code.slice(0, 40)}`);
    writeFileSync(join(folder, name), code);
  }
}

type Channels = 1 | 3 | 4;

/** Waves of all lengths and some noise: as photographs have them, most of an image's variation is in the long ones. */
function drawn(random: () => number, width: number, height: number, channels: Channels): Sharp {
  const sums = new Float64Array(width * height * channels);
  for (let c = 0; c < channels; c++)
    for (let k = 0; k < 6; k++) {
      const [fx, fy] = [1, 1].map(() => (random() - 0.5) * 1.8 ** k);
      const [phase, amplitude] = [6.3 * random(), 70 / (k + 1)];
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
          sums[(y * width + x) * channels + c] +=
            amplitude * Math.sin(6.3 * ((fx * x) / width + (fy * y) / height) + phase);
    }
  const pixels = Uint8ClampedArray.from(sums, (sum) => 128 + sum + 30 * (random() - 0.5));
  return sharp(pixels, { raw: { width, height, channels } });
}

/** Writes images that are prepared in different ways; their names, sorted. */
export async function writeImages(folder: string, random: () => number): Promise<string[]> {
  mkdirSync(folder, { recursive: true });
  const draw = (width: number, height: number, channels: Channels = 3) => drawn(random, width, height, channels);
  const images: Record<string, Sharp> = {
    'display_p3.png': draw(70, 90).withIccProfile('p3'),
    'exact.png': draw(size, size),
    'gray.png': draw(64, 81, 1),
    'landscape.jpg': draw(301, 120).jpeg({ quality: 90 }),
    'large.jpg': draw(1500, 1000).jpeg(),
    'portrait.jpg': draw(83, 240).jpeg({ quality: 90 }),
    'tiny.png': draw(5, 9),
    'transparent.png': draw(120, 95, 4),
    'turned.jpg': draw(200, 110).withMetadata({ orientation: 6 }).jpeg({ quality: 90 }),
  };
  for (const [name, image] of Object.entries(images)) await image.toFile(join(folder, name));
  return Object.keys(images);
}

/** An encoder that tells these images apart, as an ONNX file, and its features of them by our own path. */
export async function ownFeatures(
  device: Device,
  random: () => number,
  folder: string,
): Promise<{ model: Uint8Array; rows: Float32Array[] }> {
  const encoder = backbone({ encoder: 'resnet18', width: 0.25, ratio: 1, stemStride: 1, blocks: null });
  const state = await trained(device, random, encoder, size);
  const own = new ImageEncoder(device, { encoder, state, imageSize: size });
  const images = await openImageFolder(folder);
  const all = await own.embed(images);
  own.dispose();
  const rows = images.files.map((_, i) => all.slice(i * own.features, (i + 1) * own.features));
  for (const [i, row] of rows.entries())
    for (const other of rows.slice(0, i))
      assert.ok(likeness(row, other, rows) < 0.9, `${images.files[i]} is unlike the others`);
  return { model: exportOnnx({ encoder, state, imageSize: size }), rows };
}

/** Cosine of two rows of features less the mean of `all`: an untrained encoder's features have most of their length in common. */
export function likeness(a: Float32Array, b: Float32Array, all: readonly Float32Array[]): number {
  const mean = all[0].map((_, f) => all.reduce((sum, row) => sum + row[f], 0) / all.length);
  const dot = (x: Float32Array, y: Float32Array) =>
    mean.reduce((sum, center, f) => sum + (x[f] - center) * (y[f] - center), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

/** Fails unless the features of each file are those of our own path. */
export function assertAlike(rows: readonly Float32Array[], own: readonly Float32Array[], files: string[]): void {
  assert.is(rows.length, files.length);
  for (const [i, file] of files.entries()) {
    const close = likeness(rows[i], own[i], own);
    assert.ok(close > 0.999, `${file}: cosine ${close}`);
  }
}

/** Features of prepared images, each by itself, by onnxruntime. */
export async function runModel(model: Uint8Array, inputs: readonly Float32Array[]): Promise<Float32Array[]> {
  const session = await ort.InferenceSession.create(model);
  const rows: Float32Array[] = [];
  for (const input of inputs) {
    const { features } = await session.run({ image: new ort.Tensor('float32', input, [1, 3, size, size]) });
    rows.push(features.data as Float32Array);
  }
  return rows;
}
