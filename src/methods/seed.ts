import { enqueue } from '../ops/enqueue.js';
import { similarities } from '../ops/similarities.js';
import { softmax, softmaxCrossEntropy } from '../ops/softmax.js';
import { Tape } from '../tape.js';
import { type ContrastSettings, smallEncoder, unitHead } from './contrast.js';
import { lone, type Method } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';
import { type Teacher, teach } from './teacher.js';

export interface SeedSettings extends Omit<ContrastSettings, 'ema'> {
  /** τ of the teacher's similarities. */
  readonly teacherTemperature: number;
}

/**
 * SEED (Fang et al., 2021): of one view, the small encoder is to find as similar to itself and to former pictures what a frozen
 * teacher finds so. Its embedding is as long as the teacher's features, which are the queue.
 *
 *   L = −(1/N) Σ_n Σ_j p^T_nj log p^S_nj,   p = softmax over j of ( · t_n / τ, · queue_j / τ), of the teacher's t_n or the small z_n
 */
export function seed(settings: SeedSettings, teacher?: Teacher): Method {
  const { projector: hidden, temperature, teacherTemperature } = settings;
  const encoder = smallEncoder(settings);
  const D = teacher?.backbone.features.host ?? settings.embedding;
  const head = unitHead('seed', encoder, { hidden, output: D });
  const embed = embedder(encoder, head);
  return {
    ...lone(encoder, head),
    queues: { 'teacher.queue': [settings.queue, D] },
    record(plan, network, { a }) {
      const queue = network.queues['teacher.queue'];
      const target = teach(plan, teacher, a);
      const tape = new Tape(plan, settings);
      const { features, z } = plan.phase('encoder', () => embed(network.pass(tape), a));
      const loss = plan.phase('loss', () => {
        const still = new Tape(plan, { frozen: true });
        const taught = softmax(plan, similarities(still, target, target, queue), { temperature: teacherTemperature });
        return softmaxCrossEntropy(tape, similarities(tape, z, target, queue), taught, { temperature });
      });
      return minimize(
        tape,
        network,
        { loss },
        {
          watched: { zA: z, zB: target, features },
          update: () => enqueue(plan, queue, target),
        },
      );
    },
  };
}
