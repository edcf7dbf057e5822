import { adamw as kernel } from '../generated/adamw.js';
import { expectOptions, type Kinds } from '../runtime/options.js';
import type { Plan } from '../runtime/plan.js';
import { adamwDefaults } from './defaults.js';
import { decayTable, type Optimizer, settle, spanOf, spans, type Trainable, within } from './optimizer.js';

export interface AdamWOptions {
  beta1?: number;
  beta2?: number;
  eps?: number;
  /** Decoupled: w *= 1 − lr·weightDecay; 1e-4 where left out. */
  weightDecay?: number;
  /** Decay tensors of one dimension too, that is biases and batchnorm. */
  decayAll?: boolean;
}

const adamwOptions: Kinds<AdamWOptions> = {
  beta1: 'number',
  beta2: 'number',
  eps: 'number',
  weightDecay: 'number',
  decayAll: 'boolean',
};

/**
 * Records what updates all weights by AdamW (Loshchilov and Hutter), in one dispatch where they can be bound at once. The
 * bias corrections come with each step: the t-th run, counted from 1, wants bias1 = 1 − beta1ᵗ and bias2 = 1 − beta2ᵗ.
 */
export function adamw(plan: Plan, parameters: Trainable, options: AdamWOptions = {}): Optimizer {
  const { beta1, beta2, eps, weightDecay, decayAll } = settle(
    adamwDefaults,
    expectOptions('adamw', options, adamwOptions),
  );
  within('adamw', { beta1, beta2 }, 0, 1);
  within('adamw', { eps, weightDecay }, 0, Infinity);
  plan.needs('adamw', 'lr', 'bias1', 'bias2');
  const { device } = plan;
  const first = device.buffer('first', parameters.size * 4);
  const second = device.buffer('second', parameters.size * 4);
  const tables = spans(device, parameters).map((span) => {
    const { size } = span;
    const quads = size / 4;
    const decays = decayTable(device, span, decayAll);
    plan.dispatch(kernel, 'update', {
      params: { quads, beta2, rest1: 1 - beta1, rest2: 1 - beta2, eps, weight_decay: weightDecay },
      bindings: {
        weights: spanOf(parameters.weights, span),
        grads: spanOf(parameters.grads, span),
        first: spanOf(first, span),
        second: spanOf(second, span),
        decays,
      },
      workgroups: Math.ceil(quads / kernel.consts.THREADS.value),
      bytes: 28 * size,
    });
    return decays.storage as GPUBuffer;
  });
  return {
    moments: { first, second },
    dispose: () => device.release([first, second, ...tables]),
  };
}
