import type { Plan } from '../runtime/plan.js';
import { Tape } from '../tape.js';
import type { Network } from './network.js';
import { correlate, type MethodSettings, type Objective, type Views } from './objective.js';

/**
 * Cross distillation without slicing: one encoder on both views. Its frozen twins would equal the live embeddings bit for
 * bit, so there are no frozen passes: each view is decorrelated with itself as a constant.
 */
export function xd(plan: Plan, network: Network, { a, b }: Views, settings: MethodSettings): Objective {
  const tape = new Tape(plan, settings);
  const live = {
    a: plan.phase('forward A', () => network.embed(tape, a, 'host')),
    b: plan.phase('forward B', () => network.embed(tape, b, 'host')),
  };
  return correlate(plan, tape, live, { a: live.a.z, b: live.b.z }, settings);
}
