import { ConfigError } from '../errors.js';
import type { Place } from '../parameters.js';
import type { Device } from '../runtime/device.js';
import { type Tensor, tensor } from '../tensor.js';

/** What an optimizer trains: weights and gradients that lie alike, tensors on 64-float boundaries (`Parameters`). */
export interface Trainable {
  readonly weights: GPUBuffer;
  readonly grads: GPUBuffer;
  readonly places: readonly Place[];
  /** Floats in `weights`, padding included. */
  readonly size: number;
}

/** An optimizer whose update has been recorded into a plan; its learning rate is the step's `lr`. */
export interface Optimizer {
  /** What it carries from step to step, by name, lying like the weights; all that a checkpoint needs. Zero at first. */
  readonly moments: Readonly<Record<string, GPUBuffer>>;
  dispose(): void;
}

/** One float for every 64 weights: 1 where the tensor that they belong to decays. */
export function decayTable(device: Device, { places, size }: Trainable, decayAll: boolean): Tensor {
  const table = new Float32Array(size / 64);
  for (const { shape, offset, length } of places)
    if (decayAll || shape.length > 1) table.fill(1, offset / 64, Math.ceil((offset + length) / 64));
  const decays = tensor(device.buffer('decays', table.byteLength), 'decays', [table.length]);
  device.write(decays.storage as GPUBuffer, table);
  return decays;
}

/** Refuses numbers outside [least, most), by name. */
export function within(optimizer: string, options: Record<string, number>, least: number, most: number): void {
  for (const [name, value] of Object.entries(options))
    if (!(value >= least && value < most))
      throw new ConfigError(
        `${optimizer}: expected ${name} of at least ${least}` +
          `${most < Infinity ? ` and below ${most}` : ''}, got ${value}`,
      );
}
