import type { Plan } from '../runtime/plan.js';
import { Tape } from '../tape.js';
import type { Network } from './network.js';
import { correlate, type MethodSettings, type Objective, type Views } from './objective.js';

/** SACL alone: host on view A against its slice on view B, L = L_BT(z^A, z^B). No frozen passes. */
export function sacl(plan: Plan, network: Network, { a, b }: Views, settings: MethodSettings): Objective {
  const tape = new Tape(plan, settings);
  const live = {
    a: plan.phase('forward host', () => network.embed(tape, a, 'host')),
    b: plan.phase('forward slim', () => network.embed(tape, b, 'slim')),
  };
  return correlate(plan, tape, live, undefined, { ...settings, alpha: 1 });
}
