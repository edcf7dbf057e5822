import { Tape } from '../tape.js';
import { type CorrelationSettings, correlate, loneEncoder } from './correlate.js';
import type { Method } from './method.js';

/**
 * Cross distillation without slicing: one encoder on both views. Its frozen twins would equal the live embeddings bit for
 * bit, so there are no frozen passes: each view is decorrelated with itself as a constant.
 */
export function xd(settings: CorrelationSettings): Method {
  const { networks, embed } = loneEncoder(settings);
  return {
    ...networks,
    record(plan, network, { a, b }) {
      const tape = new Tape(plan, settings);
      const live = {
        a: plan.phase('encoder A', () => embed(network.pass(tape), a)),
        b: plan.phase('encoder B', () => embed(network.pass(tape), b)),
      };
      return correlate(plan, tape, live, { a: live.a.z, b: live.b.z }, settings);
    },
  };
}
