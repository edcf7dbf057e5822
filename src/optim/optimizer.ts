// Shared by the optimizers: accepted parameters, moments, weight decay, checks of options.

import { expectArguments, expectTensors } from '../checks/arguments.js';
import { textOf } from '../checks/text_of.js';
import type { Place } from '../core/parameters.js';
import { placeAlignment } from '../core/places.js';
import { ConfigError, ShapeError } from '../errors.js';
import type { Device } from '../runtime/device.js';
import type { Plan } from '../runtime/plan.js';
import { bufferOf } from '../tensor/binding.js';
import { isDense, viewText } from '../tensor/footprint.js';
import { numel, type Tensor, tensor } from '../tensor/tensor.js';

/** What an optimizer trains: weights and gradients of the same layout, tensors aligned to 64 floats (`Parameters`). */
export interface Trainable {
  readonly weights: GPUBuffer;
  readonly grads: GPUBuffer;
  readonly places: readonly Place[];
  /** Floats in `weights`, padding included. */
  readonly size: number;
}

/** An optimizer whose update has been recorded into a plan. */
export interface Optimizer {
  /**
   * State of the optimizer, by name, laid out like the weights; all that a checkpoint needs. Initially zero. For a list of
   * tensors each has its own, `momentum.0` and so on.
   */
  readonly moments: Readonly<Record<string, GPUBuffer>>;
  dispose(): void;
}

/** Options of every optimizer. */
export interface OptimizerOptions {
  /** Learning rate of every run; without it, each run passes one: `run({ lr })`. */
  lr?: number;
}

/** A span's weights and gradients, and by name the optimizer's state for it. */
type Bound<Moment extends string> = Readonly<Record<'weights' | 'grads' | Moment, Tensor>>;

/**
 * Records the update of all parameters, span by span, and allocates the state.
 *
 * @param trained `Parameters`, or a list of tensors of `device.parameter`
 * @param record records the update of a span, and returns a table that it created for it
 */
export function optimizerOf<Moment extends string>(
  plan: Plan,
  name: string,
  trained: Trainable | readonly Tensor[],
  { lr }: OptimizerOptions,
  moments: readonly Moment[],
  record: (span: Span, bound: Bound<Moment>) => Tensor,
): Optimizer {
  expectArguments(name, { plan });
  expectTrainable(name, trained);
  if (lr === undefined) plan.needs(name, 'lr');
  else {
    within(name, { lr }, 0, Number.POSITIVE_INFINITY);
    plan.provide(`${name} of lr ${lr}`, 'lr', () => lr);
  }
  const { device } = plan;
  const carried: Record<string, GPUBuffer> = {};
  const tables: Tensor[] = [];
  const parts = 'places' in trained ? [['', trained] as const] : partsOf(device, name, trained);
  for (const [suffix, trainable] of parts) {
    const buffers = moments.map((moment) => [moment, device.buffer(moment, trainable.size * 4)] as const);
    for (const [moment, buffer] of buffers) carried[`${moment}${suffix}`] = buffer;
    plan.trains(name, trainable.grads);
    for (const span of spans(device, trainable)) {
      const all = [['weights', trainable.weights] as const, ['grads', trainable.grads] as const, ...buffers];
      const bound = Object.fromEntries(all.map(([key, buffer]) => [key, spanOf(buffer, span)]));
      tables.push(record(span, bound as Bound<Moment>));
    }
  }
  return { moments: carried, dispose: () => device.release([...Object.values(carried), ...tables]) };
}

/** @throws ConfigError or ValidationError, in the name of `where`, if it is neither */
export function expectTrainable(where: string, trained: unknown, listed = true): void {
  if (listed && Array.isArray(trained))
    for (const [i, x] of trained.entries()) expectTensors(where, { [`parameter ${i}`]: x });
  else if (!(Array.isArray(Object(trained).places) && Object(trained).weights))
    throw new ConfigError(
      `${where}: expected Parameters${listed ? ', or a list of what device.parameter made' : ''}, got ${textOf(trained)}`,
    );
}

/** Wraps tensors to be trained, one by one. */
function partsOf(
  device: Device,
  name: string,
  tensors: readonly Tensor[],
): (readonly [suffix: string, trainable: Trainable])[] {
  if (tensors.length === 0) throw new ShapeError(`${name}: expected parameters to train, got none`);
  return tensors.map((x, i) => {
    const { grad, shape, label } = x;
    const length = numel(shape);
    const isWhole = (each: Tensor) => isDense(each) && device.elementsOf(bufferOf(each)) === length;
    if (!grad || !isWhole(x) || !isWhole(grad))
      throw new ShapeError(
        `${name}: expected whole parameters, as device.parameter makes them, got ${viewText(x)}` +
          `${grad ? '' : ' without a gradient'}; train the tensor that a slice is of`,
      );
    if (tensors.some((other, j) => j < i && other.storage === x.storage))
      throw new ShapeError(`${name}: expected each parameter once, got ${label} twice`);
    const places = [{ name: label, shape, offset: 0, length }];
    return [
      `.${i}`,
      {
        weights: bufferOf(x),
        grads: bufferOf(grad),
        places,
        size: Math.ceil(length / placeAlignment) * placeAlignment,
      },
    ] as const;
  });
}

/** Consecutive whole tensors that fit into one binding and are updated by one dispatch. In floats. */
export interface Span {
  readonly places: readonly Place[];
  readonly offset: number;
  readonly size: number;
}

/** All weights in as few spans as the device's binding size limit allows: one, except for the largest networks. */
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

/** One float for every `placeAlignment` weights of a span: 1 if their tensor decays. */
export function decayTable(device: Device, { places, offset, size }: Span, decayAll: boolean): Tensor {
  const table = new Float32Array(size / placeAlignment);
  for (const { shape, offset: at, length } of places)
    if (decayAll || shape.length > 1)
      table.fill(1, (at - offset) / placeAlignment, Math.ceil((at - offset + length) / placeAlignment));
  const decays = tensor(device.buffer('decays', table.byteLength), 'decays', [table.length]);
  device.write(decays, table);
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
