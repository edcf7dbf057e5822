import { ConfigError } from '../errors.js';
import { sgd as kernel } from '../generated/sgd.js';
import type { Plan } from '../runtime/plan.js';
import { tensor } from '../tensor.js';
import { decayTable, type Optimizer, type Trainable, within } from './optimizer.js';

export interface SgdOptions {
  momentum?: number;
  weightDecay?: number;
  nesterov?: boolean;
  /** Decay tensors of one dimension too, that is biases and batchnorm. */
  decayAll?: boolean;
}

/**
 * Records one dispatch that updates all weights: g = grad + wd·w; buf = m·buf + g; w −= lr·buf, or with Nesterov
 * w −= lr·(g + m·buf).
 */
export function sgd(plan: Plan, parameters: Trainable, options: SgdOptions = {}): Optimizer {
  const { momentum: m = 0.9, weightDecay = 0, nesterov = false, decayAll = false } = options;
  within('sgd', { momentum: m }, 0, 1);
  within('sgd', { weightDecay }, 0, Infinity);
  if (nesterov && m === 0) throw new ConfigError('sgd: expected a momentum above 0 with nesterov, got 0');
  const { device } = plan;
  const { size } = parameters;
  const momentum = device.buffer('momentum', size * 4);
  const decays = decayTable(device, parameters, decayAll);
  const quads = size / 4;
  plan.dispatch(kernel, 'update', {
    params: { quads, momentum: m, weight_decay: weightDecay, nesterov: nesterov ? 1 : 0 },
    bindings: {
      weights: tensor(parameters.weights, 'weights', [size]),
      grads: tensor(parameters.grads, 'grads', [size]),
      momentum: tensor(momentum, 'momentum', [size]),
      decays,
    },
    workgroups: Math.ceil(quads / kernel.consts.THREADS.value),
    bytes: 20 * size,
  });
  return {
    moments: { momentum },
    dispose: () => {
      for (const buffer of [momentum, decays.storage as GPUBuffer]) device.free(buffer);
    },
  };
}
