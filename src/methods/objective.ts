import { crossCorrelationLoss, metricColumns, standardize, type Target, type Term } from '../ops/cross_correlation.js';
import type { Plan } from '../runtime/plan.js';
import type { Tape } from '../tape.js';
import { prefix, type Tensor, tensor } from '../tensor.js';
import type { Embedding } from './network.js';

/** Both views of a batch, (N, 3, H, W) each. */
export interface Views {
  readonly a: Tensor;
  readonly b: Tensor;
}

/** The numbers of the loss L = α L_BT(z^A, z^B) + (1 − α)/2 (L_BT(z^A, [z^A]) + L_BT(z^B, [z^B])). */
export interface LossSettings {
  readonly alpha: number;
  readonly lambda: number;
  readonly scale: number;
}

export interface MethodSettings extends LossSettings {
  /** Make batchnorm outputs again in the backward, where less memory is worth the time. */
  readonly recompute?: boolean;
}

/** What a method has recorded: a step up to the gradients. */
export interface Objective {
  /** Small figures of the last step, to be read back. */
  readonly metrics: Tensor;
  /** Backbone features of the last step's live passes: (N, F) of view A, and of view B. */
  readonly features: Views;
  /** z^A and z^B of the last step, (N, D), and their frozen twins where the method has any. */
  readonly embeddings: Views & { readonly frozenA?: Tensor; readonly frozenB?: Tensor };
  /**
   * The metrics in words: `loss`, `sacl`, `xd`, and of each PAIR of batches `onDiagonal.PAIR`, the mean of C_ii, and
   * `offDiagonal.PAIR`, the sum of C_ij² over i ≠ j, with its mean over the pairs (`offDiagonalMean.PAIR`) and λ times it
   * (`offDiagonalLoss.PAIR`). Pairs: `live` (z^A, z^B), `frozenA`, `frozenB` (each with its frozen twin), `features`.
   */
  summarize(values: Float32Array): { loss: number; [part: string]: number };
  dispose(): void;
}

const row = metricColumns.length;
const featuresAt = 64; // floats: a binding of its own, so a boundary of 256 bytes

/**
 * Records the loss of the live embeddings, against each other and against their frozen twins, and the backward passes.
 * A twin that is the live embedding itself stands for one that would equal it bit for bit.
 */
export function correlate(
  plan: Plan,
  tape: Tape,
  live: { a: Embedding; b: Embedding },
  frozen: Views | undefined,
  { alpha, lambda, scale }: LossSettings,
): Objective {
  const buffer = plan.device.buffer('metrics', 4 * (featuresAt + row));
  const [za, zb] = [live.a.z, live.b.z];
  const [da, db] = [tape.empty('objective.dza', za.shape), tape.empty('objective.dzb', zb.shape)];
  const [N, F] = live.b.features.shape;
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
    crossCorrelationLoss(plan, terms, targets, tensor(buffer, 'metrics', [terms.length, row]), { lambda, scale });

    // host and slim differ in width: the slim features stand against the host channels that they slice
    const [u, v] = [standardize(plan, prefix(live.a.features, [N, F])), standardize(plan, live.b.features)];
    crossCorrelationLoss(plan, [{ u, v }], [], tensor(buffer, 'metrics.features', [1, row], 4 * featuresAt), {
      lambda,
    });
  });
  plan.phase('backward A', () => tape.backward(za, da));
  plan.phase('backward B', () => tape.backward(zb, db));
  const features = { a: live.a.features, b: live.b.features };
  for (const z of [za, zb, features.a, features.b, ...(frozen ? [frozen.a, frozen.b] : [])]) plan.keep(z);

  return {
    metrics: tensor(buffer, 'metrics', [featuresAt + row]),
    features,
    embeddings: { a: za, b: zb, ...(frozen && { frozenA: frozen.a, frozenB: frozen.b }) },
    summarize(values) {
      const [, D] = za.shape;
      const pairs = [...names.map((name, i) => [name, i * row, D] as const), ['features', featuresAt, F] as const];
      const loss = (term: number) => scale * (values[term * row] + lambda * values[term * row + 1]);
      const sacl = loss(0);
      const xd = frozen ? (loss(1) + loss(2)) / 2 : undefined;
      const correlations = pairs.flatMap(([name, at, width]) => {
        const off = values[at + metricColumns.indexOf('off')];
        return [
          [`onDiagonal.${name}`, values[at + metricColumns.indexOf('mean')]],
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
    dispose: () => plan.device.free(buffer),
  };
}
