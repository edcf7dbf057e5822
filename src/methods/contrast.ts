// What the contrastive methods share: settings, heads, InfoNCE with a queue.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions } from '../checks/options.js';
import { Tape } from '../core/tape.js';
import { checkEncoder, type Encoder } from '../encoders/encoder.js';
import { l2NormalizeLayer, type MlpOptions, mlp } from '../nn/mlp.js';
import { type Module, sequential } from '../nn/module.js';
import { contrastiveLogits } from '../ops/contrastive_logits.js';
import { softmaxCrossEntropy } from '../ops/softmax.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Views } from './method.js';
import type { Embedder, Embedding, Network } from './network.js';
import { expectNumbers } from './settings.js';

/** Defaults of the contrastive methods, unless a method has its own. */
export const contrastDefaults = { embedding: 128, temperature: 0.2, queue: 4096, ema: 0.999 };

/** Settings of the methods with a head of two layers behind the encoder. */
export interface HeadSettings {
  /** Units of the hidden layer; the default depends on the method. */
  readonly projector?: number;
  /** D, the length of an embedding; default 128, `byol` 256. */
  readonly embedding?: number;
}

/** Settings of the methods that compare embeddings with those of former batches. */
export interface ContrastSettings extends HeadSettings {
  /** Temperature τ; default 0.2, `sslSmall` 0.1. */
  readonly temperature?: number;
  /** K, the number of embeddings of earlier batches in the queue, at least a batch; default 4096, for small images. */
  readonly queue?: number;
  /** Momentum of the averaged weights; default 0.999. */
  readonly ema?: number;
}

/** Two layers (`mlp`) after an encoder's features (N, F), then L2 normalization: (N, `output`), rows of length 1. */
export function unitHead(name: string, encoder: Encoder, layers: MlpOptions): Module {
  checkEncoder(name, encoder);
  return sequential(mlp(name, encoder.features, layers), l2NormalizeLayer);
}

/**
 * InfoNCE (MoCo-V2): the query of view A against the key of view B by the averaged weights, and against the queue.
 *
 *   L = −(1/N) Σ_n log ( exp(q_n · k_n / τ) / (exp(q_n · k_n / τ) + Σ_j exp(q_n · queue_j / τ)) )
 *
 * @param network of a method that `averages`
 * @param embed returns embeddings (N, D), rows of length 1
 * @param queue (Q, D)
 * @returns the key (N, D), a constant; the query; its logits (N, 1 + K); the loss (1)
 * @throws ValidationError if the network keeps no average; ShapeError if queue and embeddings do not match
 */
export function infoNce(
  tape: Tape,
  network: Network,
  embed: Embedder,
  views: Views,
  queue: Tensor,
  options: { temperature?: number } = {},
): { key: Tensor; query: Embedding; logits: Tensor; loss: Tensor } {
  expectArguments('infoNce', { tape, queue });
  const { temperature = contrastDefaults.temperature } = expectOptions('infoNce', options, { temperature: 'number' });
  expectNumbers('infoNce', options);
  const { plan } = tape;
  const [a, b] = [views.a(), views.b()];
  const noGrad = new Tape(plan, { noGrad: true });
  const key = plan.phase('key', () => embed(network.averagedPass(noGrad), b).z);
  const query = plan.phase('encoder A', () => embed(network.pass(tape), a));
  return plan.phase('loss', () => {
    const logits = contrastiveLogits(tape, query.z, key, queue);
    return { key, query, logits, loss: softmaxCrossEntropy(tape, logits, undefined, { temperature }) };
  });
}
