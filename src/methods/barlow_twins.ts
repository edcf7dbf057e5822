import { Tape } from '../tape.js';
import { type CorrelationSettings, correlate, loneEncoder } from './correlate.js';
import type { Method } from './method.js';

/** Barlow Twins (Zbontar et al., 2021): one encoder on both views, L = L_BT(z^A, z^B). */
export function barlowTwins(settings: CorrelationSettings): Method {
  const { networks, embed } = loneEncoder(settings);
  return {
    ...networks,
    record(plan, network, { a, b }) {
      const tape = new Tape(plan, settings);
      const live = {
        a: plan.phase('encoder A', () => embed(network.pass(tape), a)),
        b: plan.phase('encoder B', () => embed(network.pass(tape), b)),
      };
      return correlate(plan, tape, live, undefined, { ...settings, alpha: 1 });
    },
  };
}
