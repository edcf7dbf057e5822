import { Tape } from '../core/tape.js';
import type { Encoder } from '../encoders/encoder.js';
import {
  distillationDefaults,
  lossOf,
  minimizeCrossCorrelation,
  type SlicedSettings,
  slicedEncoder,
} from './cross_correlation.js';
import type { Method } from './method.js';
import { type MethodSpec, settle } from './settings.js';

export const saclXdSpec = {
  title: 'SACL+XD',
  networks: 'sliced',
  passes: { host: { trained: 1, frozen: 1 }, slim: { trained: 1, frozen: 1 } },
  compared: ['host', 'slim'],
  defaults: distillationDefaults,
} as const satisfies MethodSpec;

/**
 * SACL + XD (DESIGN.md, "The loss"): the host sees view A and its slice view B; the frozen passes see the views swapped, through
 * the same weights, and leave no gradient and no running statistics.
 *
 *   L = α L_BT(z^A, z^B) + (1 − α)/2 (L_BT(z^A, [z^A]) + L_BT(z^B, [z^B]))
 *
 * Frozen passes come first: they keep nothing, so their memory is free again for the live ones.
 *
 * @param encoder of two widths, as one of ratio 1.5
 */
export function saclXd(encoder: Encoder, settings: SlicedSettings = {}): Method {
  const settled = settle('saclXd', encoder, settings, saclXdSpec);
  const { networks, embed } = slicedEncoder('saclXd', encoder, settled);
  return {
    ...networks,
    record(tape, network, views) {
      const { plan } = tape;
      const [a, b] = [views.a(), views.b()];
      const still = new Tape(plan, { noGrad: true });
      const frozen = {
        a: plan.phase('frozen slim', () => embed(network.pass(still, 'slim'), a).z),
        b: plan.phase('frozen host', () => embed(network.pass(still, 'host'), b).z),
      };
      const live = {
        a: plan.phase('host', () => embed(network.pass(tape, 'host'), a)),
        b: plan.phase('slim', () => embed(network.pass(tape, 'slim'), b)),
      };
      const { hostFeatureSlice } = network;
      return minimizeCrossCorrelation(tape, live, { ...lossOf(settled), frozen, hostFeatureSlice });
    },
  };
}
