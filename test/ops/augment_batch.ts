// What tests of augmentation share: batches of random images in GPU memory, what a plan makes of them, the kernel's draws.
import type { RgbaImage } from '../../src/data/source.js';
import { augment as kernel } from '../../src/generated/augment.js';
import { type Augmentation, augmentParams, type ImageBatch } from '../../src/ops/augment.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import type { Binding } from '../../src/tensor/binding.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { generator, seed } from '../random.js';

const random = generator();
export const integer = (below: number) => Math.floor(random() * below);
export const fresh = () => integer(2 ** 31);

/** Noise on a slope: every op has something to change, and no color is rare. */
export function randomImage(width: number, height: number): RgbaImage {
  const pixels = new Uint8Array(width * height * 4);
  const slope = [random(), random(), random()];
  const noise = random() * 255;
  for (let p = 0; p < width * height; p++) {
    for (let c = 0; c < 3; c++) pixels[4 * p + c] = 255 * slope[c] * ((p % width) / width) + noise * random();
    pixels[4 * p + 3] = integer(256);
  }
  return { width, height, pixels };
}

export interface Batch extends ImageBatch {
  readonly samples: readonly number[];
  readonly of: (place: number, view: 0 | 1) => RgbaImage;
  free(): void;
}

/** A batch whose places hold samples of random numbers and, for either view, these images, or random ones of these sizes. */
export function uploadBatch(
  device: Device,
  images: readonly (RgbaImage | readonly [number, number])[],
  batch = images.length,
): Batch {
  const stored = images.map((image) => ('pixels' in image ? image : randomImage(...image)));
  const table = new Uint32Array(stored.length * 4);
  let end = 3; // images need not begin at the first pixel
  stored.forEach(({ width, height }, i) => {
    table.set([end, width, height, 0], i * 4);
    end += width * height;
  });
  const pixels = new Uint8Array(end * 4);
  stored.forEach((image, i) => {
    pixels.set(image.pixels, table[i * 4] * 4);
  });
  const places = new Uint32Array(batch * 4);
  for (let n = 0; n < batch; n++) places.set([integer(2 ** 32), n % stored.length, integer(stored.length), 0], n * 4);
  const buffers: GPUBuffer[] = [];
  const bind = (label: string, data: Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): Binding => {
    const storage = device.buffer(label, data.byteLength);
    device.write(storage, data);
    buffers.push(storage);
    return { storage, offset: 0, bytes: data.byteLength };
  };
  return {
    batch,
    maxSide: Math.max(...stored.flatMap(({ width, height }) => [width, height])),
    bindings: { pixels: bind('pixels', pixels), table: bind('table', table), batch: bind('batch', places) },
    samples: Array.from({ length: batch }, (_, n) => places[n * 4]),
    of: (n, view) => stored[places[n * 4 + 1 + view]],
    free: () => {
      for (const buffer of buffers) device.free(buffer);
    },
  };
}

/** What `record` makes of a step, with memory poisoned before. */
export async function values(
  device: Device,
  record: (plan: Plan) => Tensor | Binding,
  step: number,
  runSeed: number,
): Promise<Float32Array<ArrayBuffer>> {
  const plan = new Plan(device);
  try {
    const result = record(plan);
    plan.retain(result);
    await plan.compile();
    plan.poison();
    plan.run({ step, seed: runSeed });
    return (await plan.read(result)).slice(0, result.bytes / 4);
  } finally {
    plan.dispose();
  }
}

/** The kernel's `Draw` records of `n` samples of one image, as u32 and as f32 fields, 24 a sample. */
export async function drawsOf(
  device: Device,
  n: number,
  size: readonly [number, number],
  options: Augmentation,
  view: 0 | 1,
) {
  const batch = uploadBatch(device, [size], n);
  const bytes = n * 96;
  const step = fresh();
  const floats = await values(
    device,
    (plan) => {
      const drawn = { storage: plan.slot('drawn', bytes), offset: 0, bytes };
      const { table, batch: places } = batch.bindings;
      const params = augmentParams(batch, view, options);
      const words = { storage: plan.slot('words', n * 144), offset: 0, bytes: n * 144 };
      plan.dispatch(kernel, 'draw_words', {
        params,
        bindings: { batch: places, words },
        workgroups: Math.ceil((n * 9) / 64),
        bytes: words.bytes,
      });
      plan.dispatch(kernel, 'draw', {
        params,
        bindings: { table, batch: places, given: words, drawn },
        workgroups: Math.ceil(n / 64),
        bytes: words.bytes + bytes,
      });
      return drawn;
    },
    step,
    seed,
  );
  batch.free();
  const whole = new Uint32Array(floats.buffer);
  return Array.from({ length: n }, (_, i) => ({
    u: whole.subarray(i * 24, i * 24 + 24),
    f: floats.subarray(i * 24, i * 24 + 24),
  }));
}
