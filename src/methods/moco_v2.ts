import { enqueue } from '../ops/enqueue.js';
import { Tape } from '../tape.js';
import { type ContrastSettings, infoNce, smallEncoder, unitHead } from './contrast.js';
import { lone, type Method } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';

/** MoCo-V2 (Chen et al., 2020): one encoder whose views are told apart from the pictures of former batches, by InfoNCE. */
export function mocoV2(settings: ContrastSettings): Method {
  const { projector: hidden, embedding, temperature } = settings;
  const encoder = smallEncoder(settings);
  const head = unitHead('head', encoder, { hidden, output: embedding });
  const embed = embedder(encoder, head);
  return {
    ...lone(encoder, head),
    averages: true,
    momentum: () => settings.ema,
    queues: { queue: [settings.queue, embedding] },
    record(plan, network, views) {
      const { queue } = network.queues;
      const tape = new Tape(plan, settings);
      const { key, query, loss } = infoNce(tape, network, embed, views, queue, temperature);
      return minimize(
        tape,
        network,
        { loss },
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
