import { expectArguments } from '../checks/arguments.js';
import { expectOptions } from '../checks/options.js';
import { ConfigError, ShapeError } from '../errors.js';
import { nearest_neighbors as kernel } from '../generated/nearest_neighbors.js';
import type { Plan } from '../runtime/plan.js';
import { shapeText, type Tensor, transient } from '../tensor/tensor.js';
import { overRows, rowForms } from './reduction_width.js';

/**
 * Targets whose positives are a teacher's nearest neighbors (ReKD): each row spreads a mass of 1 equally over the own key in
 * column 0 and the `count` largest of the other columns, the queue's. Ties go to the leftmost.
 *
 * @param similarities (N, L) of the teacher, as `contrastiveLogits` returns them
 * @returns (N, L), a constant
 * @throws ShapeError where `similarities` is no matrix, or the queue holds fewer than `count`; ConfigError where `count` is no
 * whole number of at least 1
 */
export function nearestNeighborTargets(plan: Plan, similarities: Tensor, options: { count?: number } = {}): Tensor {
  expectArguments('nearestNeighborTargets', { plan, similarities });
  const { count = 5 } = expectOptions('nearestNeighborTargets', options, { count: 'number' });
  const [N, L] = similarities.shape;
  if (!(Number.isInteger(count) && count >= 1))
    throw new ConfigError(`nearestNeighborTargets: expected a count that is whole and at least 1, got ${count}`);
  if (similarities.shape.length !== 2 || N === 0 || L < 1 + count)
    throw new ShapeError(
      `nearestNeighborTargets: expected similarities (N, L) with L of more than ${count}, ` +
        `got ${shapeText(similarities.shape)}; use a longer queue or fewer neighbors`,
    );
  const targets = transient(plan, 'nearestNeighborTargets', [N, L]);
  plan.choose('nearestNeighborTargets', rowForms(plan.device.software, L), (form, plan) => {
    const { half, ...common } = overRows(form, N);
    plan.dispatch(kernel, 'spread', {
      ...common,
      params: { N, L, count, mass: 1 / (count + 1), half },
      bindings: { s: similarities, targets },
      bytes: 4 * N * L * (count + 2),
    });
  });
  return targets;
}
