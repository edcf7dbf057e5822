// SEED: the similarities of a frozen teacher as targets.
import { Tape } from '../core/tape.js';
import type { Encoder } from '../encoders/encoder.js';
import { contrastiveLogits } from '../ops/contrastive_logits.js';
import { queuePush } from '../ops/queue_push.js';
import { softmax, softmaxCrossEntropy } from '../ops/softmax.js';
import { type ContrastSettings, contrastDefaults, headKinds, unitHead } from './contrast.js';
import { type Method, oneEncoder } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';
import { expectSettings, type Kinds } from './settings.js';
import { type Teacher, teacherFeatures } from './teacher.js';

export const seedDefaults = { teacherTemperature: 0.01 };

export interface SeedSettings extends Omit<ContrastSettings, 'ema'> {
  /** The trained encoder to learn from. Without one, the networks can be laid out but no step recorded. */
  readonly teacher?: Teacher;
  /** τ of the teacher's similarities; default 0.01. */
  readonly teacherTemperature?: number;
}

export const seedKinds: Kinds<SeedSettings> = {
  ...headKinds,
  temperature: 'number',
  queue: 'number',
  teacher: 'object',
  teacherTemperature: 'number',
};

/**
 * SEED (Fang et al., 2021): of one view, the small encoder is to find as similar to itself and to former images what a frozen
 * teacher finds so. Its embedding is as long as the teacher's features, which are the queue; its head's hidden layer is as wide as
 * its own features by default.
 *
 *   L = −(1/N) Σ_n Σ_j p^T_nj log p^S_nj,   p = softmax over j of ( · t_n / τ, · queue_j / τ), of the teacher's t_n or the small z_n
 */
export function seed(encoder: Encoder, settings: SeedSettings = {}): Method {
  expectSettings('seed', encoder, settings, seedKinds);
  const { teacher, projector: hidden = encoder.features.host, embedding = contrastDefaults.embedding } = settings;
  const { temperature = contrastDefaults.temperature, queue: length = contrastDefaults.queue } = settings;
  const { teacherTemperature = seedDefaults.teacherTemperature } = settings;
  const D = teacher?.backbone.features.host ?? embedding;
  const head = unitHead('seed', encoder, { hidden, output: D });
  const embed = embedder(encoder, head);
  return {
    ...oneEncoder(encoder, head),
    ...(teacher && { teacher }),
    queues: { 'teacher.queue': [length, D] },
    record(tape, network, { a }) {
      const { plan } = tape;
      const queue = network.queues['teacher.queue'];
      const target = teacherFeatures(tape, teacher, a);
      const { features, z } = plan.phase('encoder', () => embed(network.pass(tape), a));
      const loss = plan.phase('loss', () => {
        const still = new Tape(plan, { noGrad: true });
        const taught = softmax(still, contrastiveLogits(still, target, target, queue), {
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
