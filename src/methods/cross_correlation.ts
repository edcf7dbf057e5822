// What SACL, XD and Barlow Twins share: settings, projected encoders, the recorded loss.
import { expectArguments, expectTensors } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { expectSlicing, type Slicing } from '../core/parameters.js';
import type { Tape } from '../core/tape.js';
import type { Encoder } from '../encoders/encoder.js';
import { ConfigError } from '../errors.js';
import { projector } from '../nn/projector.js';
import {
  crossCorrelationLoss,
  lossDefaults,
  metricColumns,
  standardize,
  type Target,
  type Term,
} from '../ops/cross_correlation.js';
import { bindingAlignment } from '../tensor/binding.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { type Networks, oneEncoder, type StepOutputs } from './method.js';
import { type Embedder, type Embedding, embedder } from './network.js';
import { expectNumbers } from './settings.js';

/** Defaults of the methods with this loss: α (with frozen embeddings) and the projector's width are the paper's. */
export const correlationDefaults = {
  projector: 2048,
  lambda: lossDefaults.lambda,
  scale: ({ projector }: { readonly projector?: number }) => lossDefaults.scale(projector as number),
};
export const distillationDefaults = { alpha: 0.95, ...correlationDefaults };

/** The coefficients of the loss L = α L_BT(z^A, z^B) + (1 − α)/2 (L_BT(z^A, [z^A]) + L_BT(z^B, [z^B])). */
export interface LossSettings {
  /** α; default 0.95. */
  readonly alpha?: number;
  /** λ, the weight of the off-diagonal part; default 0.0051. */
  readonly lambda?: number;
  /** s, the factor of the whole loss; default 196 / D. */
  readonly scale?: number;
}

/** Settings of the methods of this loss. */
export interface CorrelationSettings extends LossSettings {
  /** D, the width of the projector's three layers; default 2048. */
  readonly projector?: number;
}

/** And how the slim encoder is sliced out of its host. */
export interface SlicedSettings extends CorrelationSettings, Slicing {}

const lossKinds: Kinds<LossSettings> = { alpha: 'number', lambda: 'number', scale: 'number' };
const crossCorrelationKinds: Kinds<CrossCorrelationOptions> = {
  ...lossKinds,
  frozen: 'object',
  hostFeatureSlice: 'function',
};

/** The loss's settings among a method's. */
export const lossOf = ({ alpha, lambda, scale }: LossSettings): LossSettings => ({ alpha, lambda, scale });

interface Projected {
  readonly networks: Networks;
  readonly embed: Embedder;
}

/** One encoder for both views, and its projector. */
export function projectedEncoder(encoder: Encoder, { projector: D }: { readonly projector: number }): Projected {
  const head = projector(encoder.features, D);
  return { networks: oneEncoder(encoder, head), embed: embedder(encoder, head) };
}

/** A host, the slim encoder that is a slice of it, and the projector of both. */
export function slicedEncoder(
  where: string,
  encoder: Encoder,
  settings: Slicing & { readonly projector: number },
): Projected {
  expectSlicing(where, settings);
  const { bn, slice, projector: D } = settings;
  const head = projector(encoder.features, D);
  const sliced: Slicing = { ...(bn && { bn }), ...(slice && { slice }) };
  const networks = { encoders: { host: encoder, slim: encoder }, sliced, heads: [head] };
  return { networks, embed: embedder(encoder, head) };
}

const row = metricColumns.length;
const [onAt, offAt, meanAt] = (['on', 'off', 'mean'] as const).map((name) => metricColumns.indexOf(name));
const featuresAt = bindingAlignment / 4; // floats: bound separately

const expectEmbedding = (name: string, given: Embedding | undefined) =>
  expectTensors('minimizeCrossCorrelation', { [`${name}.z`]: given?.z, [`${name}.features`]: given?.features });

/** Of `minimizeCrossCorrelation`. */
export interface CrossCorrelationOptions extends LossSettings {
  /** Constant embeddings (N, D) of both views: the targets of cross distillation. */
  readonly frozen?: { readonly a: Tensor; readonly b: Tensor };
  /** The columns of view A's features that correspond to view B's, if their widths differ (`Network.hostFeatureSlice`). */
  readonly hostFeatureSlice?: (features: Tensor) => Tensor;
}

/**
 * Records the loss of the live embeddings, against each other and against their frozen twins, and the backward passes.
 * Where a frozen pass would give the live embedding bit for bit, as in `xd`, pass the live embedding as its own twin.
 *
 * Metrics: `loss`, `sacl`, `xd`, and for each PAIR of batches `onDiagonal.PAIR`, the mean of C_ii; `offDiagonal.PAIR`, the sum of C_ij²
 * over i ≠ j; `offDiagonalMean.PAIR`, the mean of these; `offDiagonalLoss.PAIR`, λ times the sum. Pairs: `live` (z^A, z^B), `frozenA`
 * and `frozenB` (an embedding and its frozen twin), `features`.
 *
 * @param live of both views: embeddings (N, D), and the features (N, F) that they are computed from
 * @throws ConfigError if α is not from 0 to 1, or is below 1 without frozen embeddings; ShapeError if the embeddings are
 * not all (N, D), with N > 1
 */
export function minimizeCrossCorrelation(
  tape: Tape,
  live: { readonly a: Embedding; readonly b: Embedding },
  options: CrossCorrelationOptions = {},
): StepOutputs {
  expectArguments('minimizeCrossCorrelation', { tape });
  expectNumbers('minimizeCrossCorrelation', expectOptions('minimizeCrossCorrelation', options, crossCorrelationKinds));
  expectEmbedding('live.a', live?.a);
  expectEmbedding('live.b', live?.b);
  const { plan } = tape;
  const { frozen, hostFeatureSlice = (features) => features } = options;
  const { lambda = lossDefaults.lambda, scale = lossDefaults.scale(live.a.z.shape[1]) } = options;
  const { alpha = frozen ? distillationDefaults.alpha : 1 } = options;
  if (frozen) expectTensors('minimizeCrossCorrelation', { 'frozen.a': frozen.a, 'frozen.b': frozen.b });
  else if (alpha !== 1)
    throw new ConfigError(
      `minimizeCrossCorrelation: expected alpha 1 without frozen twins to weigh, got ${alpha}; leave it out, or give frozen`,
    );
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

    const [u, v] = [standardize(plan, hostFeatureSlice(live.a.features)), standardize(plan, live.b.features)];
    crossCorrelationLoss(plan, [{ u, v }], [], tensor(slot, 'metrics.features', [1, row], 4 * featuresAt), {
      lambda,
      scale: 1, // only logged
    });
  });
  tape.backward(za, da);
  tape.backward(zb, db);
  const metrics = tensor(slot, 'metrics', [featuresAt + row]);
  const watched = { zA: za, zB: zb, featuresA: live.a.features, featuresB: live.b.features };
  for (const kept of [metrics, ...Object.values(watched), ...(frozen ? [frozen.a, frozen.b] : [])]) plan.retain(kept);

  return {
    metrics: { metrics },
    embeddings: watched,
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
