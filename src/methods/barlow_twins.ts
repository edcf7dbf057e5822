import type { Plan } from '../runtime/plan.js';
import { Tape } from '../tape.js';
import type { Network } from './network.js';
import { correlate, type MethodSettings, type Objective, type Views } from './objective.js';

/** Barlow Twins (Zbontar et al., 2021): one encoder on both views, L = L_BT(z^A, z^B). */
export function barlowTwins(plan: Plan, network: Network, { a, b }: Views, settings: MethodSettings): Objective {
  const tape = new Tape(plan, settings);
  const live = {
    a: plan.phase('forward A', () => network.embed(tape, a, 'host')),
    b: plan.phase('forward B', () => network.embed(tape, b, 'host')),
  };
  return correlate(plan, tape, live, undefined, { ...settings, alpha: 1 });
}
