// BYOL: a predictor regresses the embeddings of the averaged weights.
import { Tape } from '../core/tape.js';
import type { Encoder } from '../encoders/encoder.js';
import { batchNormLayer } from '../nn/blocks.js';
import { l2NormalizeLayer, mlp } from '../nn/mlp.js';
import { sequential } from '../nn/module.js';
import { l2Normalize } from '../ops/l2_normalize.js';
import { squaredDistance } from '../ops/squared_distance.js';
import { emaMomentum } from '../optim/schedule.js';
import type { HeadSettings } from './contrast.js';
import { type Method, oneEncoder } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';
import { type MethodSpec, settle } from './settings.js';

export const byolSpec = {
  title: 'BYOL',
  networks: 'one',
  passes: { slim: { trained: 2, frozen: 2 } },
  compared: ['predicted', 'averaged encoder'],
  defaults: { projector: 4096, embedding: 256, ema: 0.996 },
} as const satisfies MethodSpec;

export interface ByolSettings extends HeadSettings {
  /** Momentum of the averaged weights at the first step, from which it rises to 1; default 0.996. */
  readonly ema?: number;
}

/**
 * BYOL (Grill et al., 2020): a predictor behind the encoder predicts the embedding that the averaged weights give of the other view.
 * There are no negatives.
 *
 *   L = (1/N) Σ_n (2 − 2 cos(p^A_n, z^B_n)) + (1/N) Σ_n (2 − 2 cos(p^B_n, z^A_n)),   z of the averaged weights, constants
 *   m = 1 − (1 − m₀) (1 + cos(π t)) / 2,   t the fraction of the run that is done
 *
 * The projector ends in batchnorm, as SimSiam's and MoCo-V3's do: an untrained one maps all images to nearly the same
 * embedding, and without subtracting the mean a short run learns little more than that.
 */
export function byol(encoder: Encoder, settings: ByolSettings = {}): Method {
  const { projector, embedding, ema } = settle('byol', encoder, settings, byolSpec);
  const layers = { hidden: projector, output: embedding, batchnorm: true };
  const units = { host: embedding, slim: embedding };
  const head = sequential(mlp('projector', encoder.features, layers), batchNormLayer('projector.4', units));
  const predictor = sequential(mlp('predictor', units, layers), l2NormalizeLayer);
  const embed = embedder(encoder, head);
  return {
    ...oneEncoder(encoder, head, predictor),
    averages: true,
    momentum: (step, steps) => emaMomentum(step, { steps, base: ema }),
    record(tape, network, views) {
      const { plan } = tape;
      const [a, b] = [views.a(), views.b()];
      const noGrad = new Tape(plan, { noGrad: true });
      const targets = plan.phase('average', () =>
        [a, b].map((x) => l2Normalize(noGrad, embed(network.averagedPass(noGrad), x).z)),
      );
      const predict = (x: typeof a) => {
        const { features, z } = embed(network.pass(tape), x);
        return { features, z: predictor.forward(network.pass(tape), z) };
      };
      const [first, second] = [plan.phase('encoder A', () => predict(a)), plan.phase('encoder B', () => predict(b))];
      const [N] = first.z.shape;
      const losses = {
        predictA: squaredDistance(tape, first.z, targets[1], { scale: 1 / N }),
        predictB: squaredDistance(tape, second.z, targets[0], { scale: 1 / N }),
      };
      return minimize(tape, losses, {
        embeddings: { zA: first.z, zB: targets[1], features: first.features },
        update: () => network.updateAverage(plan),
      });
    },
  };
}
