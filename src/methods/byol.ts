import { norm } from '../nn/blocks.js';
import { mlp, unitRows } from '../nn/mlp.js';
import { sequential } from '../nn/module.js';
import { normalizeRows } from '../ops/normalize_rows.js';
import { squaredDistance } from '../ops/squared_distance.js';
import { emaMomentum } from '../optim/schedule.js';
import { Tape } from '../tape.js';
import { type HeadSettings, smallEncoder } from './contrast.js';
import { lone, type Method } from './method.js';
import { minimize } from './minimize.js';
import { embedder } from './network.js';

export interface ByolSettings extends HeadSettings {
  /** The share of the averaged weights that the first step leaves; it rises to 1 with the last. */
  readonly ema: number;
}

/**
 * BYOL (Grill et al., 2020): a predictor behind the encoder tells what the averaged weights make of the other view. No
 * picture is told apart from another.
 *
 *   L = (1/N) Σ_n (2 − 2 cos(p^A_n, z^B_n)) + (1/N) Σ_n (2 − 2 cos(p^B_n, z^A_n)),   z of the averaged weights, constants
 *   m = 1 − (1 − m₀) (1 + cos(π t)) / 2,   t the share of the run that is done
 *
 * The projector ends in batchnorm, as SimSiam's and MoCo-V3's do: what an untrained one makes of all pictures is nearly the
 * same, and without their mean taken away a short run learns little more than that.
 */
export function byol(settings: ByolSettings): Method {
  const { projector: hidden, embedding, ema } = settings;
  const encoder = smallEncoder(settings);
  const layers = { hidden, output: embedding, batchnorm: true };
  const units = { host: embedding, slim: embedding };
  const head = sequential(mlp('projector', encoder.features, layers), norm('projector.4', units));
  const predictor = sequential(mlp('predictor', units, layers), unitRows);
  const embed = embedder(encoder, head);
  return {
    ...lone(encoder, head, predictor),
    averages: true,
    momentum: (step, steps) => emaMomentum(step, { steps, base: ema }),
    record(plan, network, { a, b }) {
      const still = new Tape(plan, { frozen: true });
      const targets = plan.phase('average', () =>
        [a, b].map((x) => normalizeRows(still, embed(network.averagedPass(still), x).z)),
      );
      const tape = new Tape(plan, settings);
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
      return minimize(tape, network, losses, {
        watched: { zA: first.z, zB: targets[1], features: first.features },
        update: () => network.updateAverage(plan),
      });
    },
  };
}
