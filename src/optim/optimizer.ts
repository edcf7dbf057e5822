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

/** Whole tensors, one after another, that are short enough to be bound: what one dispatch updates. In floats. */
export interface Span {
  readonly places: readonly Place[];
  readonly offset: number;
  readonly size: number;
}

/** All weights in as few spans as the device's limit on bindings allows: one, but for the largest networks. */
export function spans({ limits }: Device, { places, size }: Pick<Trainable, 'places' | 'size'>): Span[] {
  const most = limits.maxStorageBufferBindingSize / 4;
  const cuts = [0];
  for (const [i, { offset }] of places.entries()) {
    const end = places[i + 1]?.offset ?? size;
    if (offset > cuts[cuts.length - 1] && end - cuts[cuts.length - 1] > most) cuts.push(offset);
  }
  return cuts.map((offset, i) => {
    const end = cuts[i + 1] ?? size;
    return {
      offset,
      size: end - offset,
      places: places.filter((place) => place.offset >= offset && place.offset < end),
    };
  });
}

/** The part of a buffer, laid out like the weights, that belongs to a span. */
export function spanOf(buffer: GPUBuffer, { offset, size }: Span): Tensor {
  return tensor(buffer, buffer.label, [size], offset * 4);
}

/** One float for every 64 weights of a span: 1 where the tensor that they belong to decays. */
export function decayTable(device: Device, { places, offset, size }: Span, decayAll: boolean): Tensor {
  const table = new Float32Array(size / 64);
  for (const { shape, offset: at, length } of places)
    if (decayAll || shape.length > 1) table.fill(1, (at - offset) / 64, Math.ceil((at - offset + length) / 64));
  const decays = tensor(device.buffer('decays', table.byteLength), 'decays', [table.length]);
  device.write(decays.storage as GPUBuffer, table);
  return decays;
}

/** The options over the defaults; what is given as undefined counts as left out. */
export function settle<T extends object>(defaults: T, options: Partial<T>): T {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...defaults, ...Object.fromEntries(given) };
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
