import { projection, unitRows } from '../nn/mlp.js';
import { sequential } from '../nn/module.js';
import { add } from '../ops/add.js';
import { enqueue } from '../ops/enqueue.js';
import { squaredDistance } from '../ops/squared_distance.js';
import { Tape } from '../tape.js';
import { type ContrastSettings, infoNce, smallEncoder, unitHead } from './contrast.js';
import { lone, type Method } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';
import { type Teacher, teach } from './teacher.js';

/**
 * DisCo (Gao et al., 2022): MoCo-V2, and embeddings of both views that are to be a frozen teacher's. Where those are of
 * another length, an adaptor stands between.
 *
 *   L = L_InfoNCE + Σ_n |adapt(z^A_n) − t^A_n|² + Σ_n |adapt(z^B_n) − t^B_n|²,   all rows of length 1
 */
export function disco(settings: ContrastSettings, teacher?: Teacher): Method {
  const { projector: hidden, embedding, temperature } = settings;
  const encoder = smallEncoder(settings);
  const head = unitHead('head', encoder, { hidden, output: embedding });
  const D = teacher?.backbone.features.host ?? embedding;
  const adaptor = D === embedding ? undefined : sequential(projection('adaptor', embedding, D), unitRows);
  const embed = embedder(encoder, head);
  return {
    ...lone(encoder, head, ...(adaptor ? [adaptor] : [])),
    averages: true,
    momentum: () => settings.ema,
    queues: { queue: [settings.queue, embedding] },
    record(plan, network, views) {
      const { queue } = network.queues;
      const targets = { a: teach(plan, teacher, views.a), b: teach(plan, teacher, views.b) };
      const tape = new Tape(plan, settings);
      const pass = network.pass(tape);
      const { key, query, loss: contrast } = infoNce(tape, network, embed, views, queue, temperature);
      const other = plan.phase('encoder B', () => embed(pass, views.b).z);
      const distil = (z: typeof key, target: typeof key) =>
        squaredDistance(tape, adaptor ? adaptor.forward(pass, z) : z, target);
      const distillation = plan.phase('loss', () => add(tape, distil(query.z, targets.a), distil(other, targets.b)));
      return minimize(
        tape,
        network,
        { contrast, distillation },
        {
          watched: { zA: query.z, zB: key, features: query.features },
          update() {
            network.updateAverage(plan);
            enqueue(plan, queue, key);
          },
        },
      );
    },
  };
}
