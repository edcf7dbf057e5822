// Runs too small to learn anything: enough to see that a trainer does what it should.
import * as assert from 'uvu/assert';
import { methodOf, trainerOptionsOf } from '../src/config/run.js';
import type { TrainConfig } from '../src/config/settings.js';
import type { Width } from '../src/core/parameters.js';
import type { Tensors } from '../src/core/state.js';
import type { ImageSource, RgbaImage } from '../src/data/source.js';
import type { Teacher } from '../src/methods/teacher.js';
import type { Device } from '../src/runtime/device.js';
import { initialState as stateOf } from '../src/train/initial_state.js';
import type { TrainerOptions } from '../src/train/options.js';
import { Trainer } from '../src/train/trainer.js';
import { generator, seed } from './random.js';

/** Random images with some structure, sides 12 to 20 pixels. */
export function images(length: number): ImageSource<RgbaImage> {
  const load = async (item: number, image: number) => {
    const random = generator(seed + item * 2 + image);
    const [width, height] = [12 + (item % 9), 12 + (item % 7)];
    const pixels = Uint8Array.from({ length: width * height * 4 }, (_, i) =>
      i % 4 === 3 ? 255 : 128 + 100 * Math.sin((i * (1 + (item % 5))) / 40) + 20 * random(),
    );
    return { width, height, pixels };
  };
  return { name: 'made up', length, images: 1, load };
}

export const small = {
  data: 'made up',
  imageSize: 16,
  width: 0.25,
  stemStride: 1,
  blocks: '64/1 128/2 128/1',
  projector: 32,
  batch: 16,
  steps: 6,
  optimizer: 'sgd',
  lr: 0.05,
  warmup: 0,
};

/** A trainer as a configuration has it. */
export function openTrainer(
  device: Device,
  config: TrainConfig,
  source: ImageSource,
  { teacher, ...options }: TrainerOptions & { readonly teacher?: Teacher } = {},
): Promise<Trainer> {
  return Trainer.open(device, methodOf(config, teacher), source, { ...trainerOptionsOf(config), ...options });
}

/** One encoder as a configuration's seed makes it. */
export function initialState(device: Device, config: TrainConfig, width: Width): Promise<Tensors> {
  return stateOf(device, methodOf(config), width, config.seed);
}

/** Fails unless both hold the same tensors, bit for bit. */
export function assertEqual(a: Tensors, b: Tensors, what: string): void {
  assert.equal([...a.keys()], [...b.keys()], what);
  for (const [name, { data }] of a)
    assert.equal(
      new Uint32Array(data.slice().buffer),
      new Uint32Array(b.get(name)?.data.slice().buffer ?? []),
      `${what}: ${name}`,
    );
}
