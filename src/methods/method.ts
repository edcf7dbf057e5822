// What a method is: its networks, and how it records a step.
import type { Tape } from '../core/tape.js';
import { checkEncoder, checkOneWidth, type Encoder } from '../encoders/encoder.js';
import { expectModule, type Module } from '../nn/module.js';
import type { Tensor } from '../tensor/tensor.js';
import { expectParts, type Network, type NetworkParts, notAMethod } from './network.js';
import type { Teacher } from './teacher.js';

/** Both views of a batch, (N, 3, H, W) each. The first call records a view; later calls return the same tensor. */
export interface Views {
  readonly a: () => Tensor;
  readonly b: () => Tensor;
}

/**
 * A training method: declares its networks and the state that it carries from step to step, and records a step once all of
 * that is allocated.
 */
export interface Method extends NetworkParts {
  /** The frozen encoder that it learns from, if it has one. A run is not resumed with a different teacher. */
  readonly teacher?: Teacher;
  /** Momentum m of the averaged weights at a step of `steps`, counted from 0: average ← m · average + (1 − m) · weights. */
  readonly momentum?: (step: number, steps: number) => number;
  /**
   * Records the step up to the gradients, which are zero before: passes through `network` on `tape`, a loss, the backward. Record what
   * needs no gradient on a noGrad tape of the same plan, `new Tape(tape.plan, { noGrad: true })`.
   */
  record(tape: Tape, network: Network, views: Views): StepOutputs;
}

/** What a method trains. */
export type Networks = Pick<NetworkParts, 'encoders' | 'sliced' | 'heads'>;

/**
 * The networks of a method with one encoder, exported as both host and slim.
 *
 * @throws ConfigError if the encoder has two widths: only one is trained
 */
export function oneEncoder(encoder: Encoder, ...heads: readonly Module[]): Networks {
  checkParts('oneEncoder', encoder, heads);
  return { encoders: { host: encoder, slim: encoder }, sliced: false, heads };
}

/**
 * The networks of a method with a small encoder, exported as the slim one, and a wide one, exported as the host. Their tensors
 * need different names (`prefixed`).
 *
 * @param wide if of two widths, its host is used
 * @throws ConfigError if the small encoder has two widths
 */
export function twoEncoders(encoder: Encoder, wide: Encoder, ...heads: readonly Module[]): Networks {
  checkParts('twoEncoders', encoder, heads);
  checkEncoder('twoEncoders: wide', wide);
  return { encoders: { slim: encoder, host: wide }, sliced: false, heads };
}

function checkParts(where: string, encoder: Encoder, heads: readonly Module[]): void {
  checkEncoder(where, encoder);
  checkOneWidth(encoder);
  for (const head of heads) expectModule(where, head);
}

/** @throws ConfigError, in the name of `where`, if it is not a method */
export function expectMethod(where: string, method: Method): void {
  if (typeof Object(method).record !== 'function') throw notAMethod(where, method);
  expectParts(where, method);
}

/** What a method returns when it has recorded a step up to the gradients. */
export interface StepOutputs {
  /** Small tensors by name that the trainer reads back after each step. */
  readonly metrics: Readonly<Record<string, Tensor>>;
  /** Batches (N, D) by name whose collapse the trainer measures. The report correlates zA with zB. */
  readonly embeddings: { readonly zA: Tensor; readonly zB: Tensor; readonly [name: string]: Tensor };
  /** The constants that zA and zB are distilled from, if any; retained too. */
  readonly frozen?: { readonly a: Tensor; readonly b: Tensor };
  /** Recorded after the weights are updated: averages, queues, prototypes. */
  update?(): void;
  /** The numbers to log, from the values of `metrics`: `loss` and its parts. */
  summarize(metrics: Readonly<Record<string, Float32Array>>): { loss: number; [part: string]: number };
}

/** The numbers to log of a step. */
export type Summary = ReturnType<StepOutputs['summarize']>;
