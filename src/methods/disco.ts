// DisCo: MoCo-V2, and a frozen teacher's embeddings as targets.
import type { Encoder } from '../encoders/encoder.js';
import { l2NormalizeLayer, linearNoBias } from '../nn/mlp.js';
import { sequential } from '../nn/module.js';
import { add } from '../ops/add.js';
import { queuePush } from '../ops/queue_push.js';
import { squaredDistance } from '../ops/squared_distance.js';
import { type ContrastSettings, contrastDefaults, infoNce, unitHead } from './contrast.js';
import { type Method, oneEncoder } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';
import { type MethodSpec, settle } from './settings.js';
import { type Teacher, teacherFeatures } from './teacher.js';

export const discoSpec = {
  title: 'DisCo',
  networks: 'one',
  teacher: true,
  passes: { slim: { trained: 2, frozen: 1 }, teacher: { frozen: 2 } },
  compared: ['query', 'key'],
  defaults: { projector: 2048, ...contrastDefaults },
} as const satisfies MethodSpec;

export interface DiscoSettings extends ContrastSettings {
  /** The trained encoder to learn from. Required to record a step. */
  readonly teacher?: Teacher;
}

/**
 * DisCo (Gao et al., 2022): MoCo-V2, with the embeddings of both views regressed onto a frozen teacher's, through a linear layer where
 * their lengths differ.
 *
 *   L = L_InfoNCE + Σ_n |adapt(z^A_n) − t^A_n|² + Σ_n |adapt(z^B_n) − t^B_n|²,   all rows of length 1
 */
export function disco(encoder: Encoder, settings: DiscoSettings = {}): Method {
  const settled = settle('disco', encoder, settings, discoSpec);
  const { teacher, projector, embedding, temperature, queue: length, ema } = settled;
  const head = unitHead('head', encoder, { hidden: projector, output: embedding });
  const D = teacher?.backbone.features.host ?? embedding;
  const adaptor = D === embedding ? undefined : sequential(linearNoBias('adaptor', embedding, D), l2NormalizeLayer);
  const embed = embedder(encoder, head);
  return {
    ...oneEncoder(encoder, head, ...(adaptor ? [adaptor] : [])),
    ...(teacher && { teacher }),
    averages: true,
    momentum: () => ema,
    queues: { queue: [length, embedding] },
    record(tape, network, views) {
      const { plan } = tape;
      const { queue } = network.queues;
      const targets = { a: teacherFeatures(tape, teacher, views.a()), b: teacherFeatures(tape, teacher, views.b()) };
      const pass = network.pass(tape);
      const { key, query, loss: contrast } = infoNce(tape, network, embed, views, queue, { temperature });
      const other = plan.phase('encoder B', () => embed(pass, views.b()).z);
      const distil = (z: typeof key, target: typeof key) =>
        squaredDistance(tape, adaptor ? adaptor.forward(pass, z) : z, target);
      const distillation = plan.phase('loss', () => add(tape, distil(query.z, targets.a), distil(other, targets.b)));
      return minimize(
        tape,
        { contrast, distillation },
        {
          embeddings: { zA: query.z, zB: key, features: query.features },
          update() {
            network.updateAverage(plan);
            queuePush(plan, queue, key);
          },
        },
      );
    },
  };
}
