import type { Encoder } from '../encoders/encoder.js';
import {
  type CorrelationSettings,
  correlationDefaults,
  lossOf,
  minimizeCrossCorrelation,
  projectedEncoder,
} from './cross_correlation.js';
import type { Method } from './method.js';
import { type MethodSpec, settle } from './settings.js';

export const barlowTwinsSpec = {
  title: 'Barlow Twins',
  networks: 'one',
  passes: { slim: { trained: 2 } },
  compared: ['view A', 'view B'],
  defaults: correlationDefaults,
} as const satisfies MethodSpec;

/** Barlow Twins (Zbontar et al., 2021): one encoder on both views, L = L_BT(z^A, z^B). */
export function barlowTwins(encoder: Encoder, settings: Omit<CorrelationSettings, 'alpha'> = {}): Method {
  const settled = settle('barlowTwins', encoder, settings, barlowTwinsSpec);
  const { networks, embed } = projectedEncoder(encoder, settled);
  return {
    ...networks,
    record(tape, network, views) {
      const { plan } = tape;
      const [a, b] = [views.a(), views.b()];
      const live = {
        a: plan.phase('encoder A', () => embed(network.pass(tape), a)),
        b: plan.phase('encoder B', () => embed(network.pass(tape), b)),
      };
      return minimizeCrossCorrelation(tape, live, { ...lossOf(settled), alpha: 1 });
    },
  };
}
