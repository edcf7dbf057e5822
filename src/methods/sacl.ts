import { Tape } from '../tape.js';
import { type CorrelationSettings, correlate, slicedEncoder } from './correlate.js';
import type { Method } from './method.js';

/** SACL alone: host on view A against its slice on view B, L = L_BT(z^A, z^B). No frozen passes. */
export function sacl(settings: CorrelationSettings): Method {
  const { networks, embed } = slicedEncoder(settings);
  return {
    ...networks,
    record(plan, network, { a, b }) {
      const tape = new Tape(plan, settings);
      const live = {
        a: plan.phase('host', () => embed(network.pass(tape, 'host'), a)),
        b: plan.phase('slim', () => embed(network.pass(tape, 'slim'), b)),
      };
      return correlate(plan, tape, live, undefined, { ...settings, alpha: 1 }, network.counterparts);
    },
  };
}
