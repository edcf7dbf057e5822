import { ConfigError } from '../errors.js';
import { sgd as kernel } from '../generated/sgd.js';
import type { Plan } from '../runtime/plan.js';
import { tensor } from '../tensor.js';
import { type Decay, decayTable, moment, type Optimizer, type Trainable, within } from './optimizer.js';

export interface SgdOptions {
  momentum?: number;
  weightDecay?: number;
  nesterov?: boolean;
  decay?: Decay;
}

/** Records one dispatch that updates all weights: g = grad + wd·w; buf = m·buf + g; w −= lr·buf, Nesterov w −= lr·(g + m·buf). */
export function sgd(plan: Plan, parameters: Trainable, options: SgdOptions = {}): Optimizer {
  const { momentum: m = 0.9, weightDecay = 0, nesterov = false, decay = 'matrices' } = options;
  within('sgd', { momentum: m }, 0, 1);
  within('sgd', { weightDecay }, 0, Infinity);
  if (nesterov && m === 0) throw new ConfigError('sgd: expected a momentum above 0 with nesterov, got 0');
  const { device } = plan;
  const { size } = parameters;
  const momentum = moment(device, 'momentum', parameters);
  const decays = decayTable(device, parameters, decay);
  const quads = size / 4;
  plan.dispatch(kernel, 'update', {
    params: { quads, momentum: m, weight_decay: weightDecay, nesterov: nesterov ? 1 : 0 },
    bindings: {
      weights: tensor(parameters.weights, 'weights', [size]),
      grads: tensor(parameters.grads, 'grads', [size]),
      momentum,
      decays,
    },
    workgroups: Math.ceil(quads / kernel.consts.THREADS.value),
    macs: 3 * size,
    bytes: 20 * size,
  });
  return {
    state: { momentum },
    scalars: () => ({}),
    dispose: () => {
      for (const { storage } of [momentum, decays]) device.free(storage as GPUBuffer);
    },
  };
}
