/** A set of weights, gradients that change from step to step, and an optimizer run on them: what its tests share. */
import * as assert from 'uvu/assert';
import type { Optimizer, Trainable } from '../../src/optim/optimizer.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel } from '../../src/tensor/tensor.js';
import { close } from '../check.js';
import { generator, randoms, seed } from '../random.js';

/** One tensor of the reference: f64 weights, updated in place. */
export interface Reference {
  shape: readonly number[];
  w: Float64Array;
  /** Moments, made by the reference as it needs them. */
  state: Record<string, Float64Array>;
}

export type Update = (tensor: Reference, g: Float64Array, step: number, lr: number) => void;

// tensors that end before, on and after a 64-float boundary, and one of several chunks
const shapes = [[3], [8, 5], [64], [16, 3, 3, 3], [65], [129, 257], [1, 1], [128], [7, 9, 1, 1]];

/**
 * Trains for as many steps as there are rates, twice, with random gradients (of tensor `still` none), and
 * compares weights with the f64 reference and both runs with each other.
 */
export async function train(
  device: Device,
  record: (plan: Plan, trainable: Trainable) => Optimizer,
  update: Update,
  { lrs = [0.1, 0.05, 0.2], still = -1 } = {},
): Promise<void> {
  const random = generator();
  let size = 0;
  const places = shapes.map((shape, i) => {
    const place = { name: `t${i}`, shape, offset: size, length: numel(shape) };
    size += Math.ceil(place.length / 64) * 64;
    return place;
  });
  const spread = (i: number) => (i === still ? 0 : 10 ** ((i % 3) - 1));
  const block = (values: (i: number, length: number) => Float32Array) => {
    const all = new Float32Array(size);
    places.forEach(({ offset, length }, i) => {
      all.set(values(i, length), offset);
    });
    return all;
  };
  const start = block((_, length) => randoms(random, length, 0.1, 1));
  const gradients = lrs.map(() => block((i, length) => randoms(random, length, 0.2 * spread(i), spread(i))));

  const run = async () => {
    const weights = device.buffer('weights', size * 4);
    const grads = device.buffer('grads', size * 4);
    const plan = new Plan(device);
    const optimizer = record(plan, { weights, grads, places, size });
    try {
      device.write(weights, start);
      await plan.compile();
      plan.poison();
      for (const [step, lr] of lrs.entries()) {
        device.write(grads, gradients[step]);
        plan.run({ lr });
      }
      return new Float32Array(await device.read(weights));
    } finally {
      optimizer.dispose();
      plan.dispose();
      for (const buffer of [weights, grads]) device.free(buffer);
    }
  };
  const trained = await run();
  const again = await run();
  assert.equal(new Uint32Array(trained.buffer), new Uint32Array(again.buffer), `repeats bit for bit (seed ${seed})`);

  const covered = new Uint8Array(size);
  for (const { name, shape, offset, length } of places) {
    const reference = { shape, w: Float64Array.from(start.subarray(offset, offset + length)), state: {} };
    for (const [step, lr] of lrs.entries())
      update(reference, Float64Array.from(gradients[step].subarray(offset, offset + length)), step, lr);
    close(trained.subarray(offset, offset + length), reference.w, `${name} (${shape})`, 5e-6);
    covered.fill(1, offset, offset + length);
  }
  trained.forEach((v, i) => {
    if (!covered[i]) assert.is(v, 0, `the gap at ${i} stays zero`);
  });
}

/** A moment of the reference, zero at first. */
export function momentOf({ state, w }: Reference, name: string): Float64Array {
  state[name] ??= new Float64Array(w.length);
  return state[name];
}
