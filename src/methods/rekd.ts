import { backbone } from '../encoders/backbone.js';
import { scoped } from '../nn/module.js';
import { enqueue } from '../ops/enqueue.js';
import { neighbourTargets } from '../ops/neighbours.js';
import { similarities } from '../ops/similarities.js';
import { softmaxCrossEntropy } from '../ops/softmax.js';
import { Tape } from '../tape.js';
import { type ContrastSettings, infoNce, smallEncoder, unitHead } from './contrast.js';
import type { Method } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';

export interface RekdSettings extends ContrastSettings {
  /** How many of the teacher's nearest in the queue count as the same picture. */
  readonly neighbours: number;
}

/**
 * ReKD (Zheng et al., 2022): a wider teacher is trained by MoCo-V2, and beside it the small encoder by InfoNCE against the
 * teacher's keys, whose positives are the picture's own key and those that the teacher finds nearest in its queue.
 *
 *   L = L_InfoNCE(teacher) − (1/N) Σ_n Σ_j p_nj log softmax_j(z_n · k_j / τ),   p even over the own key and the neighbours
 */
export function rekd(settings: RekdSettings): Method {
  const { projector: hidden, embedding, temperature, neighbours } = settings;
  const slim = smallEncoder(settings);
  const host = scoped('teacher', backbone(settings));
  const head = unitHead('head', slim, { hidden, output: embedding });
  const teacherHead = unitHead('teacher.head', host, { hidden, output: embedding });
  const [embed, embedTeacher] = [embedder(slim, head), embedder(host, teacherHead)];
  return {
    encoders: { slim, host },
    sliced: false,
    heads: [head, teacherHead],
    averages: true,
    momentum: () => settings.ema,
    queues: { 'teacher.queue': [settings.queue, embedding] },
    record(plan, network, views) {
      const queue = network.queues['teacher.queue'];
      const tape = new Tape(plan, settings);
      const taught = plan.phase('host', () => infoNce(tape, network, embedTeacher, views, queue, temperature));
      const { features, z } = plan.phase('slim', () => embed(network.pass(tape), views.a));
      const distillation = plan.phase('loss', () => {
        const targets = neighbourTargets(plan, taught.logits, { count: neighbours });
        return softmaxCrossEntropy(tape, similarities(tape, z, taught.key, queue), targets, { temperature });
      });
      return minimize(
        tape,
        network,
        { distillation, teacher: taught.loss },
        {
          watched: { zA: z, zB: taught.key, features, teacherFeatures: taught.query.features },
          update() {
            network.updateAverage(plan);
            enqueue(plan, queue, taught.key);
          },
        },
      );
    },
  };
}
