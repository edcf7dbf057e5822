// ReKD: a wide teacher learns by MoCo-V2, the small encoder also from its nearest neighbors.
import type { Encoder } from '../encoders/encoder.js';
import { ConfigError } from '../errors.js';
import { prefixed } from '../nn/module.js';
import { contrastiveLogits } from '../ops/contrastive_logits.js';
import { nearestNeighborTargets } from '../ops/nearest_neighbors.js';
import { queuePush } from '../ops/queue_push.js';
import { softmaxCrossEntropy } from '../ops/softmax.js';
import { type ContrastSettings, contrastDefaults, infoNce, unitHead } from './contrast.js';
import { type Method, twoEncoders } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';
import { asFeatures, expectWide, type MethodSpec, settle } from './settings.js';

export const rekdSpec = {
  title: 'ReKD',
  networks: 'two',
  passes: { slim: { trained: 1 }, teacher: { trained: 1, frozen: 1 } },
  compared: ['encoder', "teacher's key"],
  defaults: { projector: asFeatures, ...contrastDefaults, neighbors: 5 },
} as const satisfies MethodSpec;

export interface RekdSettings extends ContrastSettings {
  /** Number of the teacher's nearest neighbors in the queue that count as positives; default 5. */
  readonly neighbors?: number;
}

/**
 * ReKD (Zheng et al., 2022): a wider teacher is trained by MoCo-V2, and the small encoder by InfoNCE against the
 * teacher's keys, whose positives are the image's own key and those that the teacher finds nearest in its queue.
 *
 *   L = L_InfoNCE(teacher) − (1/N) Σ_n Σ_j p_nj log softmax_j(z_n · k_j / τ),   p uniform over the own key and the neighbors
 *
 * The heads' hidden layers are as wide as the small encoder's features by default.
 *
 * @param wide the teacher, which is trained too; of two widths, its host
 */
export function rekd(encoder: Encoder, wide: Encoder, settings: RekdSettings = {}): Method {
  const settled = settle('rekd', encoder, settings, rekdSpec);
  const { projector: hidden, embedding, temperature, queue: length, ema, neighbors } = settled;
  expectWide('rekd', wide);
  if (neighbors > length)
    throw new ConfigError(
      `rekd: expected neighbors of at most the queue, ${length}, got ${neighbors}; use a longer queue`,
    );
  const host = prefixed('teacher', wide);
  const head = unitHead('head', encoder, { hidden, output: embedding });
  const teacherHead = unitHead('teacher.head', host, { hidden, output: embedding });
  const [embed, embedTeacher] = [embedder(encoder, head), embedder(host, teacherHead)];
  return {
    ...twoEncoders(encoder, host, head, teacherHead),
    averages: true,
    momentum: () => ema,
    queues: { 'teacher.queue': [length, embedding] },
    record(tape, network, views) {
      const { plan } = tape;
      const queue = network.queues['teacher.queue'];
      const taught = plan.phase('host', () => infoNce(tape, network, embedTeacher, views, queue, { temperature }));
      const { features, z } = plan.phase('slim', () => embed(network.pass(tape), views.a()));
      const distillation = plan.phase('loss', () => {
        const targets = nearestNeighborTargets(plan, taught.logits, { count: neighbors });
        return softmaxCrossEntropy(tape, contrastiveLogits(tape, z, taught.key, queue), targets, { temperature });
      });
      return minimize(
        tape,
        { distillation, teacher: taught.loss },
        {
          embeddings: { zA: z, zB: taught.key, features, teacherFeatures: taught.query.features },
          update() {
            network.updateAverage(plan);
            queuePush(plan, queue, taught.key);
          },
        },
      );
    },
  };
}
