import type { EncoderSpec } from '../encoders/backbone.js';
import type { Encoder } from '../encoders/encoder.js';
import type { Module } from '../nn/module.js';
import type { Slicing, Width } from '../parameters.js';
import type { Plan } from '../runtime/plan.js';
import type { Tensor } from '../tensor.js';
import type { Network } from './network.js';

/** Both views of a batch, (N, 3, H, W) each. A view is made when it is first asked for. */
export interface Views {
  readonly a: Tensor;
  readonly b: Tensor;
}

/** What every method is told. */
export interface MethodSettings extends EncoderSpec, Slicing {
  /** Make batchnorm outputs again in the backward, where less memory is worth the time. */
  readonly recompute?: boolean;
}

/**
 * A way to train: its networks and what it carries from step to step, declared first; and how a step is recorded, once
 * all of that has its memory.
 */
export interface Method extends Recipe {
  /** The encoders that a run exports: two widths of one where `sliced`, else two, or the same one twice. */
  readonly encoders: Readonly<Record<Width, Encoder>>;
  /** How the slim encoder is cut out of the host, where it is a slice of it. */
  readonly sliced: Slicing | false;
  /** What is trained beside the encoders: projectors, predictors, prototypes. */
  readonly heads: readonly Module[];
  /** Whether it keeps an average of all weights. */
  readonly averages?: boolean;
  /** Embeddings of former batches that it keeps: K rows of length D, by name. */
  readonly queues?: Readonly<Record<string, readonly [K: number, D: number]>>;
  /** What comes first, for some epochs, on the same networks: with an optimizer and a schedule of its own. */
  readonly before?: Recipe & { readonly name: string; readonly epochs: number };
}

/** How a step is recorded. */
export interface Recipe {
  /** The share of the average of the weights that a step leaves: one of `steps`, counted from 0. */
  readonly momentum?: (step: number, steps: number) => number;
  record(plan: Plan, network: Network, views: Views): Objective;
}

/** The networks of a method with one encoder, exported as both host and slim. */
export function lone(encoder: Encoder, ...heads: readonly Module[]): Pick<Method, 'encoders' | 'sliced' | 'heads'> {
  return { encoders: { host: encoder, slim: encoder }, sliced: false, heads };
}

/** What a method has recorded: a step up to the gradients. */
export interface Objective {
  /** Small figures of the last step, to be read back, by name; their slots are kept. */
  readonly figures: Readonly<Record<string, Tensor>>;
  /** Batches (N, D) that are watched for collapse, by name; their slots are kept. The report correlates zA with zB. */
  readonly watched: { readonly zA: Tensor; readonly zB: Tensor; readonly [name: string]: Tensor };
  /** The frozen twins of zA and zB, where there are any; kept too. */
  readonly frozen?: Views;
  /** Recorded after the weights are updated: averages, queues, prototypes. */
  update?(): void;
  /** The figures in words: `loss`, and its parts. */
  summarize(figures: Readonly<Record<string, Float32Array>>): { loss: number; [part: string]: number };
}

/** What is read back of a step, in words. */
export type Summary = ReturnType<Objective['summarize']>;
