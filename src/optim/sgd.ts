// SGD with momentum and weight decay.
import { expectOptions, type Kinds, withDefaults } from '../checks/options.js';
import { ConfigError } from '../errors.js';
import { sgd as kernel } from '../generated/sgd.js';
import type { Plan } from '../runtime/plan.js';
import type { Tensor } from '../tensor/tensor.js';
import { sgdDefaults } from './defaults.js';
import { decayTable, type Optimizer, type OptimizerOptions, optimizerOf, type Trainable, within } from './optimizer.js';

export interface SgdOptions extends OptimizerOptions {
  /** Default 0.9. */
  momentum?: number;
  /** Default 1e-4. */
  weightDecay?: number;
  nesterov?: boolean;
  /** Also decay one-dimensional tensors, i.e. biases and batchnorm; default true. */
  decayAll?: boolean;
}

const sgdOptions: Kinds<SgdOptions> = {
  lr: 'number',
  momentum: 'number',
  weightDecay: 'number',
  nesterov: 'boolean',
  decayAll: 'boolean',
};

/**
 * Records the update of all weights, in one dispatch if they fit into one binding: g = grad + wd·w; buf = m·buf + g;
 * w −= lr·buf, or with Nesterov w −= lr·(g + m·buf).
 */
export function sgd(plan: Plan, trained: Trainable | readonly Tensor[], options: SgdOptions = {}): Optimizer {
  const {
    momentum: m,
    weightDecay,
    nesterov,
    decayAll,
  } = withDefaults(sgdDefaults, expectOptions('sgd', options, sgdOptions));
  within('sgd', { momentum: m }, 0, 1);
  within('sgd', { weightDecay }, 0, Infinity);
  if (nesterov && m === 0) throw new ConfigError('sgd: expected a momentum above 0 with nesterov, got 0');
  return optimizerOf(plan, 'sgd', trained, options, ['momentum'], (span, bound) => {
    const quads = span.size / 4;
    const decays = decayTable(plan.device, span, decayAll);
    plan.dispatch(kernel, 'update', {
      params: { quads, momentum: m, weight_decay: weightDecay, nesterov: nesterov ? 1 : 0 },
      bindings: { ...bound, decays },
      workgroups: Math.ceil(quads / kernel.consts.THREADS.value),
      bytes: 20 * span.size,
    });
    return decays;
  });
}
