import { expectArguments } from '../checks/arguments.js';
import { expectOptions } from '../checks/options.js';
import type { Tape } from '../core/tape.js';
import { ConfigError, ShapeError } from '../errors.js';
import { squared_distance as kernel } from '../generated/squared_distance.js';
import { numel, shapeText, type Tensor } from '../tensor/tensor.js';
import { overRows, rowForms } from './reduction_width.js';

const mostParts = 256; // enough workgroups for any device
const leastChunk = 1024;

/**
 * scale · Σ (a − target)² over all elements: with scale 1 / N and N rows of length 1, the mean of 2 − 2 cos.
 *
 * @param a any shape
 * @param target the same shape, a constant
 * @returns the loss (1)
 * @throws ShapeError if shapes differ, ConfigError if the scale is not finite
 */
export function squaredDistance(tape: Tape, a: Tensor, target: Tensor, options: { scale?: number } = {}): Tensor {
  expectArguments('squaredDistance', { tape, a, target });
  const { scale = 1 } = expectOptions('squaredDistance', options, { scale: 'number' });
  if (shapeText(a.shape) !== shapeText(target.shape))
    throw new ShapeError(
      `squaredDistance: expected equal shapes, got ${shapeText(a.shape)} and ${shapeText(target.shape)}`,
    );
  if (!Number.isFinite(scale)) throw new ConfigError(`squaredDistance: expected a finite scale, got ${scale}`);
  const { plan } = tape;
  const { software } = plan.device;
  const n = numel(a.shape);
  const chunk = Math.max(leastChunk, Math.ceil(n / mostParts));
  const parts = Math.ceil(n / chunk);
  const params = { n, chunk, parts, scale };
  const partial = tape.empty('squaredDistance.partial', [parts]);
  const loss = tape.empty('squaredDistance.loss', [1]);
  plan.choose('squaredDistance.partial_sums', rowForms(software, chunk), (form, plan) => {
    const { half, ...common } = overRows(form, parts);
    const bindings = { a, t: target, partial_out: partial };
    plan.dispatch(kernel, 'partial_sums', { ...common, params: { ...params, half }, bindings, bytes: 8 * n });
  });
  plan.choose('squaredDistance.forward', rowForms(software, parts), (form, plan) => {
    const { half, ...common } = overRows(form, 1);
    const bindings = { partial, loss };
    plan.dispatch(kernel, 'forward', { ...common, params: { ...params, half }, bindings, bytes: 4 * parts });
  });
  return tape.record('squaredDistance', [a], loss, (dloss) => {
    const da = tape.empty('squaredDistance.da', a.shape);
    plan.choose('squaredDistance.backward', rowForms(software, chunk), (form, plan) => {
      const { half, ...common } = overRows(form, parts);
      const bindings = { a: tape.recompute(a), t: target, dloss, da };
      plan.dispatch(kernel, 'backward_input', { ...common, params: { ...params, half }, bindings, bytes: 12 * n });
    });
    return [da];
  });
}
