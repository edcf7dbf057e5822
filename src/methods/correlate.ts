import { backbone } from '../encoders/backbone.js';
import { projector } from '../nn/projector.js';
import { crossCorrelationLoss, metricColumns, standardize, type Target, type Term } from '../ops/cross_correlation.js';
import type { Slicing } from '../parameters.js';
import type { Plan } from '../runtime/plan.js';
import type { Tape } from '../tape.js';
import { type Tensor, tensor } from '../tensor.js';
import { lone, type MethodSettings, type Objective, type Views } from './method.js';
import { type Embedding, embedder } from './network.js';

/** The numbers of the loss L = α L_BT(z^A, z^B) + (1 − α)/2 (L_BT(z^A, [z^A]) + L_BT(z^B, [z^B])). */
export interface LossSettings {
  readonly alpha: number;
  readonly lambda: number;
  readonly scale: number;
}

/** What the methods of this loss are told. */
export interface CorrelationSettings extends MethodSettings, LossSettings {
  /** D, the width of the projector's three layers. */
  readonly projector: number;
}

/** One encoder for both views, at the width of the slim one; and its projector. */
export function loneEncoder(settings: CorrelationSettings) {
  const encoder = backbone({ ...settings, ratio: 1 });
  const head = projector(encoder.features, settings.projector);
  return { networks: lone(encoder, head), embed: embedder(encoder, head) };
}

/** A host, the slim encoder that is a slice of it, and the projector of both. */
export function slicedEncoder(settings: CorrelationSettings) {
  const { bn, slice } = settings;
  const encoder = backbone(settings);
  const head = projector(encoder.features, settings.projector);
  const sliced: Slicing = { ...(bn && { bn }), ...(slice && { slice }) };
  return { networks: { ...lone(encoder, head), sliced }, embed: embedder(encoder, head) };
}

const row = metricColumns.length;
const [onAt, offAt, meanAt] = (['on', 'off', 'mean'] as const).map((name) => metricColumns.indexOf(name));
const featuresAt = 64; // floats: a binding of its own, so a boundary of 256 bytes

/**
 * Records the loss of the live embeddings, against each other and against their frozen twins, and the backward passes.
 * A twin that is the live embedding itself stands for one that would equal it bit for bit.
 *
 * Told are `loss`, `sacl`, `xd`, and of each PAIR of batches `onDiagonal.PAIR`, the mean of C_ii, and
 * `offDiagonal.PAIR`, the sum of C_ij² over i ≠ j, with its mean over the pairs (`offDiagonalMean.PAIR`) and λ times it
 * (`offDiagonalLoss.PAIR`). Pairs: `live` (z^A, z^B), `frozenA`, `frozenB` (each with its frozen twin), `features`.
 *
 * @param counterparts the columns of view A's features that those of view B stand for, where they differ in width
 */
export function correlate(
  plan: Plan,
  tape: Tape,
  live: { a: Embedding; b: Embedding },
  frozen: Views | undefined,
  { alpha, lambda, scale }: LossSettings,
  counterparts: (features: Tensor) => Tensor = (features) => features,
): Objective {
  const slot = plan.slot('metrics', 4 * (featuresAt + row));
  const [za, zb] = [live.a.z, live.b.z];
  const [da, db] = [tape.empty('objective.dza', za.shape), tape.empty('objective.dzb', zb.shape)];
  const [, F] = live.b.features.shape;
  const names = ['live', ...(frozen ? ['frozenA', 'frozenB'] : [])];

  plan.phase('loss', () => {
    const [a, b] = [standardize(plan, za), standardize(plan, zb)];
    const terms: Term[] = [{ u: a, v: b, weight: alpha }];
    if (frozen) {
      const twin = (z: Tensor, of: Tensor, own: typeof a) => (z === of ? own : standardize(plan, z));
      const weight = (1 - alpha) / 2;
      terms.push({ u: a, v: twin(frozen.a, za, a), weight }, { u: b, v: twin(frozen.b, zb, b), weight });
    }
    const targets: Target[] = [
      { of: a, dz: da },
      { of: b, dz: db },
    ];
    crossCorrelationLoss(plan, terms, targets, tensor(slot, 'metrics', [terms.length, row]), { lambda, scale });

    const [u, v] = [standardize(plan, counterparts(live.a.features)), standardize(plan, live.b.features)];
    crossCorrelationLoss(plan, [{ u, v }], [], tensor(slot, 'metrics.features', [1, row], 4 * featuresAt), {
      lambda,
      scale: 1, // told as they are
    });
  });
  tape.backward(za, da);
  tape.backward(zb, db);
  const metrics = tensor(slot, 'metrics', [featuresAt + row]);
  const watched = { zA: za, zB: zb, featuresA: live.a.features, featuresB: live.b.features };
  for (const kept of [metrics, ...Object.values(watched), ...(frozen ? [frozen.a, frozen.b] : [])]) plan.keep(kept);

  return {
    figures: { metrics },
    watched,
    ...(frozen && { frozen }),
    summarize({ metrics: values }) {
      const [, D] = za.shape;
      const pairs = [...names.map((name, i) => [name, i * row, D] as const), ['features', featuresAt, F] as const];
      const loss = (term: number) => scale * (values[term * row + onAt] + lambda * values[term * row + offAt]);
      const sacl = loss(0);
      const xd = frozen ? (loss(1) + loss(2)) / 2 : undefined;
      const correlations = pairs.flatMap(([name, at, width]) => {
        const off = values[at + offAt];
        return [
          [`onDiagonal.${name}`, values[at + meanAt]],
          [`offDiagonal.${name}`, off],
          [`offDiagonalMean.${name}`, off / (width * (width - 1))],
          [`offDiagonalLoss.${name}`, lambda * off],
        ];
      });
      return {
        loss: alpha * sacl + (1 - alpha) * (xd ?? 0),
        sacl,
        ...(xd !== undefined && { xd }),
        ...Object.fromEntries(correlations),
      };
    },
  };
}
