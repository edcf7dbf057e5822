import type { Encoder } from '../encoders/encoder.js';
import { queuePush } from '../ops/queue_push.js';
import { type ContrastSettings, contrastDefaults, infoNce, unitHead } from './contrast.js';
import { type Method, oneEncoder } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';
import { asFeatures, type MethodSpec, settle } from './settings.js';

export const mocoV2Spec = {
  title: 'MoCo-V2',
  networks: 'one',
  passes: { slim: { trained: 1, frozen: 1 } },
  compared: ['query', 'key'],
  defaults: { projector: asFeatures, ...contrastDefaults },
} as const satisfies MethodSpec;

/**
 * MoCo-V2 (Chen et al., 2020): one encoder that discriminates an image's views from earlier images by InfoNCE. Its head's
 * hidden layer is as wide as the features by default.
 */
export function mocoV2(encoder: Encoder, settings: ContrastSettings = {}): Method {
  const { projector, embedding, temperature, queue: length, ema } = settle('mocoV2', encoder, settings, mocoV2Spec);
  const head = unitHead('head', encoder, { hidden: projector, output: embedding });
  const embed = embedder(encoder, head);
  return {
    ...oneEncoder(encoder, head),
    averages: true,
    momentum: () => ema,
    queues: { queue: [length, embedding] },
    record(tape, network, views) {
      const { queue } = network.queues;
      const { key, query, loss } = infoNce(tape, network, embed, views, queue, { temperature });
      return minimize(
        tape,
        { loss },
        {
          embeddings: { zA: query.z, zB: key, features: query.features },
          update() {
            network.updateAverage(tape.plan);
            queuePush(tape.plan, queue, key);
          },
        },
      );
    },
  };
}
