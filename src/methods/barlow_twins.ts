import type { Encoder } from '../encoders/encoder.js';
import {
  type CorrelationSettings,
  correlationKinds,
  lossOf,
  minimizeCrossCorrelation,
  projectedEncoder,
} from './cross_correlation.js';
import type { Method } from './method.js';
import { expectSettings } from './settings.js';

const { alpha: _, ...kinds } = correlationKinds;

/** Barlow Twins (Zbontar et al., 2021): one encoder on both views, L = L_BT(z^A, z^B). */
export function barlowTwins(encoder: Encoder, settings: Omit<CorrelationSettings, 'alpha'> = {}): Method {
  expectSettings('barlowTwins', encoder, settings, kinds);
  const { networks, embed } = projectedEncoder(encoder, settings);
  return {
    ...networks,
    record(tape, network, { a, b }) {
      const { plan } = tape;
      const live = {
        a: plan.phase('encoder A', () => embed(network.pass(tape), a)),
        b: plan.phase('encoder B', () => embed(network.pass(tape), b)),
      };
      return minimizeCrossCorrelation(tape, live, { ...lossOf(settings), alpha: 1 });
    },
  };
}
