import type { Encoder } from '../encoders/encoder.js';
import {
  type CorrelationSettings,
  distillationDefaults,
  lossOf,
  minimizeCrossCorrelation,
  projectedEncoder,
} from './cross_correlation.js';
import type { Method } from './method.js';
import { type MethodSpec, settle } from './settings.js';

export const xdSpec = {
  title: 'XD only',
  networks: 'one',
  passes: { slim: { trained: 2 } },
  compared: ['view A', 'view B'],
  defaults: distillationDefaults,
} as const satisfies MethodSpec;

/**
 * Cross distillation without slicing: one encoder on both views. The frozen embeddings would equal the live ones bit for
 * bit, so there are no frozen passes: each view is decorrelated with itself as a constant.
 */
export function xd(encoder: Encoder, settings: CorrelationSettings = {}): Method {
  const settled = settle('xd', encoder, settings, xdSpec);
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
      return minimizeCrossCorrelation(tape, live, { ...lossOf(settled), frozen: { a: live.a.z, b: live.b.z } });
    },
  };
}
