import { adamw as kernel } from '../generated/adamw.js';
import type { Plan } from '../runtime/plan.js';
import { tensor } from '../tensor.js';
import { type Decay, decayTable, moment, type Optimizer, type Trainable, within } from './optimizer.js';

export interface AdamWOptions {
  beta1?: number;
  beta2?: number;
  eps?: number;
  /** Decoupled: w *= 1 − lr·weightDecay. */
  weightDecay?: number;
  decay?: Decay;
}

/** Records one dispatch that updates all weights by AdamW (Loshchilov and Hutter), moments bias-corrected. */
export function adamw(plan: Plan, parameters: Trainable, options: AdamWOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01, decay = 'matrices' } = options;
  within('adamw', { beta1, beta2 }, 0, 1);
  within('adamw', { eps, weightDecay }, 0, Infinity);
  const { device } = plan;
  const { size } = parameters;
  const first = moment(device, 'first', parameters);
  const second = moment(device, 'second', parameters);
  const decays = decayTable(device, parameters, decay);
  const quads = size / 4;
  plan.dispatch(kernel, 'update', {
    params: { quads, beta2, rest1: 1 - beta1, rest2: 1 - beta2, eps, weight_decay: weightDecay },
    bindings: {
      weights: tensor(parameters.weights, 'weights', [size]),
      grads: tensor(parameters.grads, 'grads', [size]),
      first,
      second,
      decays,
    },
    workgroups: Math.ceil(quads / kernel.consts.THREADS.value),
    macs: 6 * size,
    bytes: 28 * size,
  });
  return {
    state: { first, second },
    scalars: (step) => ({ bias1: 1 - beta1 ** (step + 1), bias2: 1 - beta2 ** (step + 1) }),
    dispose: () => {
      for (const { storage } of [first, second, decays]) device.free(storage as GPUBuffer);
    },
  };
}
