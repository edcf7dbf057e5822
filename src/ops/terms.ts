// The terms of a cross-correlation loss: pairs of standardized batches, and where their gradients go.

import { expectTensors } from '../checks/arguments.js';
import { expectFinite } from '../checks/one_of.js';
import { ConfigError, ShapeError } from '../errors.js';
import { shapeText, type Tensor } from '../tensor/tensor.js';

/** A batch of embeddings standardized to mean 0 and variance 1 in every column. */
export interface Standardized {
  /** (N, D) */
  readonly a: Tensor;
  /** (D): 1 / sqrt(var + eps), or 0 if a column is practically constant; it gets no gradient. */
  readonly r: Tensor;
}

/** One loss L_BT(u, v) of the weighted sum that is differentiated. */
export interface Term {
  readonly u: Standardized;
  readonly v: Standardized;
  /** Weight of this loss in the gradient; default 1. */
  readonly weight?: number;
}

/** Where to write the gradient with respect to the embeddings (N, D) of a standardized batch. */
export interface Target {
  readonly of: Standardized;
  readonly dz: Tensor;
}

/** Columns of a row of metrics: the loss first, at an aligned binding offset. */
export const metricColumns = ['loss', 'on', 'off', 'mean'] as const;

/** The other batch of a term that contains `x`. */
export function partner({ u, v }: Term, x: Standardized): Standardized | undefined {
  return u === x ? v : v === x ? u : undefined;
}

/** Checks that terms, targets and metrics match. */
export function checkTerms(terms: readonly Term[], targets: readonly Target[], metrics: Tensor): void {
  if (!Array.isArray(terms) || !Array.isArray(targets))
    throw new ConfigError('crossCorrelationLoss: expected a list of terms and one of targets');
  if (terms.length === 0) throw new ConfigError('crossCorrelationLoss: expected at least one term, got none');
  for (const [i, { u, v }] of terms.entries())
    expectTensors('crossCorrelationLoss', { [`u.a of term ${i}`]: u?.a, [`v.a of term ${i}`]: v?.a });
  for (const { of, dz } of targets) expectTensors('crossCorrelationLoss', { 'r of a target': of?.r, dz });
  const shape = shapeText(terms[0].u.a.shape);
  for (const [i, { u, v, weight = 1 }] of terms.entries()) {
    expectFinite(`crossCorrelationLoss: weight of term ${i}`, weight);
    for (const { a } of [u, v])
      if (shapeText(a.shape) !== shape)
        throw new ShapeError(`crossCorrelationLoss: expected ${shape} in term ${i}, got ${shapeText(a.shape)}`);
  }
  for (const { of, dz } of targets) {
    if (!terms.some((term) => partner(term, of)))
      throw new ConfigError('crossCorrelationLoss: expected each target to be part of a term, got one that is in none');
    if (shapeText(dz.shape) !== shape)
      throw new ShapeError(`crossCorrelationLoss: expected dz ${shape}, got ${shapeText(dz.shape)}`);
  }
  if (metrics.shape.length !== 2 || metrics.shape[0] < terms.length || metrics.shape[1] !== metricColumns.length)
    throw new ShapeError(
      `crossCorrelationLoss: expected metrics ${shapeText([terms.length, metricColumns.length])}, ` +
        `got ${shapeText(metrics.shape)}`,
    );
}
