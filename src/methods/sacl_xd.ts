import type { Plan } from '../runtime/plan.js';
import { Tape } from '../tape.js';
import type { Network } from './network.js';
import { correlate, type MethodSettings, type Objective, type Views } from './objective.js';

/**
 * SACL + XD (DESIGN.md, "The loss"): the host sees view A and its slice view B; the frozen passes see the views swapped, through
 * the same weights, and leave no gradient and no running statistics.
 *
 *   L = α L_BT(z^A, z^B) + (1 − α)/2 (L_BT(z^A, [z^A]) + L_BT(z^B, [z^B]))
 *
 * Frozen passes come first: they keep nothing, so their memory is free again for the live ones.
 */
export function saclXd(plan: Plan, network: Network, { a, b }: Views, settings: MethodSettings): Objective {
  const still = new Tape(plan, { frozen: true });
  const frozen = {
    a: plan.phase('frozen slim', () => network.embed(still, a, 'slim').z),
    b: plan.phase('frozen host', () => network.embed(still, b, 'host').z),
  };
  const tape = new Tape(plan, settings);
  const live = {
    a: plan.phase('forward host', () => network.embed(tape, a, 'host')),
    b: plan.phase('forward slim', () => network.embed(tape, b, 'slim')),
  };
  return correlate(plan, tape, live, frozen, settings);
}
