import { backbone } from '../encoders/backbone.js';
import type { Encoder } from '../encoders/encoder.js';
import { type MlpOptions, mlp, unitRows } from '../nn/mlp.js';
import { type Module, sequential } from '../nn/module.js';
import { similarities } from '../ops/similarities.js';
import { softmaxCrossEntropy } from '../ops/softmax.js';
import { Tape } from '../tape.js';
import type { Tensor } from '../tensor.js';
import type { MethodSettings, Views } from './method.js';
import type { Embedder, Network } from './network.js';

/** What the methods are told that put a head of two layers behind an encoder. */
export interface HeadSettings extends MethodSettings {
  /** Units of the hidden layer. */
  readonly projector: number;
  /** D, the length of an embedding. */
  readonly embedding: number;
}

/** What the methods are told that compare embeddings with those of former batches. */
export interface ContrastSettings extends HeadSettings {
  /** τ, what similarities are divided by. */
  readonly temperature: number;
  /** K, how many embeddings of former batches are kept. */
  readonly queue: number;
  /** The share of the averaged weights that a step leaves. */
  readonly ema: number;
}

/** The encoder that is to be good though it is small: the slim one, on its own. */
export function smallEncoder(settings: MethodSettings): Encoder {
  return backbone({ ...settings, ratio: 1 });
}

/** Two layers behind an encoder, and onto the unit sphere. */
export function unitHead(name: string, { features }: Encoder, layers: MlpOptions): Module {
  return sequential(mlp(name, features, layers), unitRows);
}

/**
 * InfoNCE (MoCo-V2): the query of view A against the key that the averaged weights make of view B, and against the queue.
 *
 *   L = −(1/N) Σ_n log ( exp(q_n · k_n / τ) / (exp(q_n · k_n / τ) + Σ_j exp(q_n · queue_j / τ)) )
 */
export function infoNce(
  tape: Tape,
  network: Network,
  embed: Embedder,
  { a, b }: Views,
  queue: Tensor,
  temperature: number,
) {
  const { plan } = tape;
  const still = new Tape(plan, { frozen: true });
  const key = plan.phase('key', () => embed(network.averagedPass(still), b).z);
  const query = plan.phase('encoder A', () => embed(network.pass(tape), a));
  return plan.phase('loss', () => {
    const logits = similarities(tape, query.z, key, queue);
    return { key, query, logits, loss: softmaxCrossEntropy(tape, logits, undefined, { temperature }) };
  });
}
