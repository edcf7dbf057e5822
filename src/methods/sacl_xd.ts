import { Tape } from '../tape.js';
import { type CorrelationSettings, correlate, slicedEncoder } from './correlate.js';
import type { Method } from './method.js';

/**
 * SACL + XD (DESIGN.md, "The loss"): the host sees view A and its slice view B; the frozen passes see the views swapped, through
 * the same weights, and leave no gradient and no running statistics.
 *
 *   L = α L_BT(z^A, z^B) + (1 − α)/2 (L_BT(z^A, [z^A]) + L_BT(z^B, [z^B]))
 *
 * Frozen passes come first: they keep nothing, so their memory is free again for the live ones.
 */
export function saclXd(settings: CorrelationSettings): Method {
  const { networks, embed } = slicedEncoder(settings);
  return {
    ...networks,
    record(plan, network, { a, b }) {
      const still = new Tape(plan, { frozen: true });
      const frozen = {
        a: plan.phase('frozen slim', () => embed(network.pass(still, 'slim'), a).z),
        b: plan.phase('frozen host', () => embed(network.pass(still, 'host'), b).z),
      };
      const tape = new Tape(plan, settings);
      const live = {
        a: plan.phase('host', () => embed(network.pass(tape, 'host'), a)),
        b: plan.phase('slim', () => embed(network.pass(tape, 'slim'), b)),
      };
      return correlate(plan, tape, live, frozen, settings, network.counterparts);
    },
  };
}
