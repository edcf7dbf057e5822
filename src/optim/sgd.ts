import { ConfigError } from '../errors.js';
import { sgd as kernel } from '../generated/sgd.js';
import { expectOptions, type Kinds } from '../runtime/options.js';
import type { Plan } from '../runtime/plan.js';
import { sgdDefaults } from './defaults.js';
import { decayTable, type Optimizer, settle, spanOf, spans, type Trainable, within } from './optimizer.js';

export interface SgdOptions {
  /** 0.9 where left out. */
  momentum?: number;
  /** 1e-4 where left out. */
  weightDecay?: number;
  nesterov?: boolean;
  /** Decay tensors of one dimension too, that is biases and batchnorm; so it is where nothing is said. */
  decayAll?: boolean;
}

const sgdOptions: Kinds<SgdOptions> = {
  momentum: 'number',
  weightDecay: 'number',
  nesterov: 'boolean',
  decayAll: 'boolean',
};

/**
 * Records what updates all weights, in one dispatch where they can be bound at once: g = grad + wd·w; buf = m·buf + g; w −= lr·buf, or with Nesterov
 * w −= lr·(g + m·buf).
 */
export function sgd(plan: Plan, parameters: Trainable, options: SgdOptions = {}): Optimizer {
  const {
    momentum: m,
    weightDecay,
    nesterov,
    decayAll,
  } = settle(sgdDefaults, expectOptions('sgd', options, sgdOptions));
  within('sgd', { momentum: m }, 0, 1);
  within('sgd', { weightDecay }, 0, Infinity);
  if (nesterov && m === 0) throw new ConfigError('sgd: expected a momentum above 0 with nesterov, got 0');
  plan.needs('sgd', 'lr');
  const { device } = plan;
  const momentum = device.buffer('momentum', parameters.size * 4);
  const tables = spans(device, parameters).map((span) => {
    const { size } = span;
    const quads = size / 4;
    const decays = decayTable(device, span, decayAll);
    plan.dispatch(kernel, 'update', {
      params: { quads, momentum: m, weight_decay: weightDecay, nesterov: nesterov ? 1 : 0 },
      bindings: {
        weights: spanOf(parameters.weights, span),
        grads: spanOf(parameters.grads, span),
        momentum: spanOf(momentum, span),
        decays,
      },
      workgroups: Math.ceil(quads / kernel.consts.THREADS.value),
      bytes: 20 * size,
    });
    return decays.storage as GPUBuffer;
  });
  return {
    moments: { momentum },
    dispose: () => device.release([momentum, ...tables]),
  };
}
