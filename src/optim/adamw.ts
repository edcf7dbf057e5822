// AdamW.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds, withDefaults } from '../checks/options.js';
import { adamw as kernel } from '../generated/adamw.js';
import type { Plan } from '../runtime/plan.js';
import type { Tensor } from '../tensor/tensor.js';
import { adamwDefaults } from './defaults.js';
import {
  decayTable,
  expectTrainable,
  type Optimizer,
  type OptimizerOptions,
  optimizerOf,
  type Trainable,
  within,
} from './optimizer.js';

export interface AdamWOptions extends OptimizerOptions {
  beta1?: number;
  beta2?: number;
  eps?: number;
  /** Decoupled: w *= 1 − lr·weightDecay; default 1e-4. */
  weightDecay?: number;
  /** Also decay one-dimensional tensors, i.e. biases and batchnorm. */
  decayAll?: boolean;
}

const adamwOptions: Kinds<AdamWOptions> = {
  lr: 'number',
  beta1: 'number',
  beta2: 'number',
  eps: 'number',
  weightDecay: 'number',
  decayAll: 'boolean',
};

/**
 * Records the AdamW update of all weights (Loshchilov and Hutter), in one dispatch if they fit into one binding. The bias
 * corrections use the plan's step count.
 */
export function adamw(plan: Plan, trained: Trainable | readonly Tensor[], options: AdamWOptions = {}): Optimizer {
  const { beta1, beta2, eps, weightDecay, decayAll } = withDefaults(
    adamwDefaults,
    expectOptions('adamw', options, adamwOptions),
  );
  within('adamw', { beta1, beta2 }, 0, 1);
  within('adamw', { eps, weightDecay }, 0, Infinity);
  expectArguments('adamw', { plan });
  expectTrainable('adamw', trained);
  plan.provide(`adamw of beta1 ${beta1}`, 'bias1', (updates) => 1 - beta1 ** (updates + 1));
  plan.provide(`adamw of beta2 ${beta2}`, 'bias2', (updates) => 1 - beta2 ** (updates + 1));
  return optimizerOf(plan, 'adamw', trained, options, ['first', 'second'], (span, bound) => {
    const quads = span.size / 4;
    const decays = decayTable(plan.device, span, decayAll);
    plan.dispatch(kernel, 'update', {
      params: { quads, beta2, rest1: 1 - beta1, rest2: 1 - beta2, eps, weight_decay: weightDecay },
      bindings: { ...bound, decays },
      workgroups: Math.ceil(quads / kernel.consts.THREADS.value),
      bytes: 28 * span.size,
    });
    return decays;
  });
}
