import type { Encoder } from '../encoders/encoder.js';
import {
  correlationDefaults,
  lossOf,
  minimizeCrossCorrelation,
  type SlicedSettings,
  slicedEncoder,
} from './cross_correlation.js';
import type { Method } from './method.js';
import { type MethodSpec, settle } from './settings.js';

export const saclSpec = {
  title: 'SACL',
  networks: 'sliced',
  passes: { host: { trained: 1 }, slim: { trained: 1 } },
  compared: ['host', 'slim'],
  defaults: correlationDefaults,
} as const satisfies MethodSpec;

/**
 * SACL alone: host on view A against its slice on view B, L = L_BT(z^A, z^B). No frozen passes.
 *
 * @param encoder of two widths, as one of ratio 1.5
 */
export function sacl(encoder: Encoder, settings: Omit<SlicedSettings, 'alpha'> = {}): Method {
  const settled = settle('sacl', encoder, settings, saclSpec);
  const { networks, embed } = slicedEncoder('sacl', encoder, settled);
  return {
    ...networks,
    record(tape, network, views) {
      const { plan } = tape;
      const [a, b] = [views.a(), views.b()];
      const live = {
        a: plan.phase('host', () => embed(network.pass(tape, 'host'), a)),
        b: plan.phase('slim', () => embed(network.pass(tape, 'slim'), b)),
      };
      const { hostFeatureSlice } = network;
      return minimizeCrossCorrelation(tape, live, { ...lossOf(settled), alpha: 1, hostFeatureSlice });
    },
  };
}
