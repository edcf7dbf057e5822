import type { Encoder } from '../encoders/encoder.js';
import {
  lossOf,
  minimizeCrossCorrelation,
  type SlicedSettings,
  slicedEncoder,
  slicedKinds,
} from './cross_correlation.js';
import type { Method } from './method.js';
import { expectSettings } from './settings.js';

const { alpha: _, ...kinds } = slicedKinds;

/**
 * SACL alone: host on view A against its slice on view B, L = L_BT(z^A, z^B). No frozen passes.
 *
 * @param encoder of two widths, as one of ratio 1.5
 */
export function sacl(encoder: Encoder, settings: Omit<SlicedSettings, 'alpha'> = {}): Method {
  expectSettings('sacl', encoder, settings, kinds);
  const { networks, embed } = slicedEncoder('sacl', encoder, settings);
  return {
    ...networks,
    record(tape, network, { a, b }) {
      const { plan } = tape;
      const live = {
        a: plan.phase('host', () => embed(network.pass(tape, 'host'), a)),
        b: plan.phase('slim', () => embed(network.pass(tape, 'slim'), b)),
      };
      const { hostFeatureSlice } = network;
      return minimizeCrossCorrelation(tape, live, { ...lossOf(settings), alpha: 1, hostFeatureSlice });
    },
  };
}
