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

/**
 * Cross distillation without slicing: one encoder on both views. Its frozen twins would equal the live embeddings bit for
 * bit, so there are no frozen passes: each view is decorrelated with itself as a constant.
 */
export function xd(encoder: Encoder, settings: CorrelationSettings = {}): Method {
  expectSettings('xd', encoder, settings, correlationKinds);
  const { networks, embed } = projectedEncoder(encoder, settings);
  return {
    ...networks,
    record(tape, network, { a, b }) {
      const { plan } = tape;
      const live = {
        a: plan.phase('encoder A', () => embed(network.pass(tape), a)),
        b: plan.phase('encoder B', () => embed(network.pass(tape), b)),
      };
      return minimizeCrossCorrelation(tape, live, { ...lossOf(settings), frozen: { a: live.a.z, b: live.b.z } });
    },
  };
}
