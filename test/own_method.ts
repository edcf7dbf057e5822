/** An encoder and a method as a program may bring them, for the tests of trainers. */
import { pooledEncoder, rgb, widthMultiplier } from '../src/encoders/encoder.js';
import { infoNce, unitHead } from '../src/methods/contrast.js';
import { type Method, oneEncoder } from '../src/methods/method.js';
import { minimize } from '../src/methods/minimize.js';
import { embedder } from '../src/methods/network.js';
import { convBatchNorm, convLayer, depthwiseLayer } from '../src/nn/blocks.js';
import { sequential } from '../src/nn/module.js';
import { scale } from '../src/ops/elementwise.js';
import { queuePush } from '../src/ops/queue_push.js';
import type { TrainerOptions } from '../src/train/options.js';
import { seed } from './random.js';

/** An encoder of a program's own: a stem and a depthwise block. */
export function ownEncoder(width = 1) {
  const channels = widthMultiplier({ width }, Math.round);
  const [first, second] = [channels(8), channels(12)];
  const body = sequential(
    convBatchNorm(convLayer('stem', rgb, first, { kernelSize: 3, stride: 2 }), 'stem_norm', first, {
      activation: 'silu',
    }),
    convBatchNorm(depthwiseLayer('spatial', first), 'spatial_norm', first, { activation: 'hardswish' }),
    convBatchNorm(convLayer('point', first, second), 'point_norm', second),
  );
  return pooledEncoder(body, second, 2);
}

interface Own {
  readonly temperature?: number;
  readonly weight?: number;
  readonly queue?: number;
  readonly width?: number;
}

/** A method of a program's own: a weighed InfoNCE, with a queue and an average. */
export function ownMethod({ temperature = 0.3, weight = 2, queue: length = 37, width = 1 }: Own = {}): Method {
  const encoder = ownEncoder(width);
  const head = unitHead('head', encoder, { hidden: 16, output: 6 });
  const embed = embedder(encoder, head);
  return {
    ...oneEncoder(encoder, head),
    averages: true,
    momentum: (step, steps) => 0.5 + (0.5 * step) / steps,
    queues: { keys: [length, 6] },
    record(tape, network, views) {
      const { key, query, loss } = infoNce(tape, network, embed, views, network.queues.keys, { temperature });
      return minimize(
        tape,
        { weighed: scale(tape, loss, weight) },
        {
          embeddings: { zA: query.z, zB: key },
          update() {
            network.updateAverage(tape.plan);
            queuePush(tape.plan, network.queues.keys, key);
          },
        },
      );
    },
  };
}

export const options = { batch: 12, steps: 6, imageSize: 16, seed: seed % 1000 } satisfies TrainerOptions;
