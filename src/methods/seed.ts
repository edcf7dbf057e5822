// SEED: the similarities of a frozen teacher as targets.
import { Tape } from '../core/tape.js';
import type { Encoder } from '../encoders/encoder.js';
import { contrastiveLogits } from '../ops/contrastive_logits.js';
import { queuePush } from '../ops/queue_push.js';
import { softmax, softmaxCrossEntropy } from '../ops/softmax.js';
import { type ContrastSettings, contrastDefaults, unitHead } from './contrast.js';
import { type Method, oneEncoder } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';
import { asFeatures, type MethodSpec, settle } from './settings.js';
import { type Teacher, teacherFeatures } from './teacher.js';

export const seedSpec = {
  title: 'SEED',
  networks: 'one',
  teacher: true,
  passes: { slim: { trained: 1 }, teacher: { frozen: 1 } },
  compared: ['encoder', 'teacher'],
  defaults: {
    projector: asFeatures,
    embedding: contrastDefaults.embedding,
    temperature: contrastDefaults.temperature,
    teacherTemperature: 0.01,
    queue: contrastDefaults.queue,
  },
} as const satisfies MethodSpec;

export interface SeedSettings extends Omit<ContrastSettings, 'ema'> {
  /** The trained encoder to learn from. Required to record a step. */
  readonly teacher?: Teacher;
  /** Temperature τ of the teacher's similarities; default 0.01. */
  readonly teacherTemperature?: number;
}

/**
 * SEED (Fang et al., 2021): on one view, the small encoder learns the similarities that a frozen teacher finds between the image and
 * those of a queue. Its embedding is as long as the teacher's features, which are the queue; its head's hidden layer is as wide as
 * its own features by default.
 *
 *   L = −(1/N) Σ_n Σ_j p^T_nj log p^S_nj,   k = (t_n, queue_1, …, queue_K) with the teacher's embedding t_n
 *   p^T_n = softmax_j(t_n · k_j / τ_T),   p^S_n = softmax_j(z_n · k_j / τ)
 */
export function seed(encoder: Encoder, settings: SeedSettings = {}): Method {
  const settled = settle('seed', encoder, settings, seedSpec);
  const { teacher, projector, embedding, temperature, teacherTemperature, queue: length } = settled;
  const D = teacher?.backbone.features.host ?? embedding;
  const head = unitHead('seed', encoder, { hidden: projector, output: D });
  const embed = embedder(encoder, head);
  return {
    ...oneEncoder(encoder, head),
    ...(teacher && { teacher }),
    queues: { 'teacher.queue': [length, D] },
    record(tape, network, views) {
      const { plan } = tape;
      const a = views.a();
      const queue = network.queues['teacher.queue'];
      const target = teacherFeatures(tape, teacher, a);
      const { features, z } = plan.phase('encoder', () => embed(network.pass(tape), a));
      const loss = plan.phase('loss', () => {
        const noGrad = new Tape(plan, { noGrad: true });
        const taught = softmax(noGrad, contrastiveLogits(noGrad, target, target, queue), {
          temperature: teacherTemperature,
        });
        return softmaxCrossEntropy(tape, contrastiveLogits(tape, z, target, queue), taught, { temperature });
      });
      return minimize(
        tape,
        { loss },
        {
          embeddings: { zA: z, zB: target, features },
          update: () => queuePush(plan, queue, target),
        },
      );
    },
  };
}
