import { ConfigError } from '../errors.js';
import { sgd as kernel } from '../generated/sgd.js';
import type { Plan } from '../runtime/plan.js';
import { decayTable, type Optimizer, spanOf, spans, type Trainable, within } from './optimizer.js';

export interface SgdOptions {
  momentum?: number;
  weightDecay?: number;
  nesterov?: boolean;
  /** Decay tensors of one dimension too, that is biases and batchnorm. */
  decayAll?: boolean;
}

/**
 * Records what updates all weights, in one dispatch where they can be bound at once: g = grad + wd·w; buf = m·buf + g; w −= lr·buf, or with Nesterov
 * w −= lr·(g + m·buf).
 */
export function sgd(plan: Plan, parameters: Trainable, options: SgdOptions = {}): Optimizer {
  const { momentum: m = 0.9, weightDecay = 0, nesterov = false, decayAll = false } = options;
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
