// SACL + XD: a host and its slice, distilled into each other.
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
  choices: { xd: ['cross', 'inner'] },
  defaults: distillationDefaults,
} as const satisfies MethodSpec;

/** What distils: the embeddings of the other encoder, or each encoder's own. */
export type Distillation = 'cross' | 'inner';

export interface SaclXdSettings extends SlicedSettings {
  /** Default 'cross', as in the paper. */
  readonly xd?: Distillation;
}

/**
 * SACL + XD (DESIGN.md, "The loss"): the host sees view A and its slice view B; the frozen passes see the views swapped, through
 * the same weights, and leave no gradient and no running statistics.
 *
 *   L = α L_BT(z^A, z^B) + (1 − α)/2 (L_BT(z^A, [z^A]) + L_BT(z^B, [z^B]))
 *
 * With xd 'inner' each encoder is distilled from its own embedding of the same view, as in `xd`: [z^A] and [z^B] are z^A and z^B as
 * constants, there are no frozen passes, and a step computes a quarter less.
 *
 * Frozen passes come first: they keep nothing, so their memory is free again for the live ones.
 *
 * @param encoder of two widths, as one of ratio 1.5
 */
export function saclXd(encoder: Encoder, settings: SaclXdSettings = {}): Method {
  const settled = settle('saclXd', encoder, settings, saclXdSpec);
  const { networks, embed } = slicedEncoder('saclXd', encoder, settled);
  return {
    ...networks,
    record(tape, network, views) {
      const { plan } = tape;
      const [a, b] = [views.a(), views.b()];
      const noGrad = new Tape(plan, { noGrad: true });
      const crossed = settings.xd !== 'inner' && {
        a: plan.phase('frozen slim', () => embed(network.pass(noGrad, 'slim'), a).z),
        b: plan.phase('frozen host', () => embed(network.pass(noGrad, 'host'), b).z),
      };
      const live = {
        a: plan.phase('host', () => embed(network.pass(tape, 'host'), a)),
        b: plan.phase('slim', () => embed(network.pass(tape, 'slim'), b)),
      };
      const frozen = crossed || { a: live.a.z, b: live.b.z };
      const { hostFeatureSlice } = network;
      return minimizeCrossCorrelation(tape, live, { ...lossOf(settled), frozen, hostFeatureSlice });
    },
  };
}
