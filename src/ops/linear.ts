// Linear layer: y = x Wᵀ + b.
import { expectArguments } from '../checks/arguments.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { linear as kernel } from '../generated/linear.js';
import { shapeText, type Tensor } from '../tensor/tensor.js';
import { matmulInto } from './matmul.js';

/**
 * Fully connected layer: y = x weightᵀ + bias.
 *
 * @param x (N, I)
 * @param weight (O, I); may be a slice of a host's tensor: a leading block, or by index lists
 * @param bias (O); likewise
 * @returns (N, O)
 * @throws ShapeError if the shapes do not match
 */
export function linear(tape: Tape, x: Tensor, weight: Tensor, bias?: Tensor): Tensor {
  expectArguments('linear', { tape, x, weight, ...(bias !== undefined && { bias }) });
  const [N, I] = x.shape;
  const [O] = weight.shape;
  if (x.shape.length !== 2 || N * I === 0)
    throw new ShapeError(`linear: expected x (N, I), all above 0, got ${shapeText(x.shape)}`);
  if (weight.shape.length !== 2 || weight.shape[1] !== I || O === 0)
    throw new ShapeError(
      `linear: expected weight (O, ${I}) for x ${shapeText(x.shape)}, got ${shapeText(weight.shape)}`,
    );
  if (bias && (bias.shape.length !== 1 || bias.shape[0] !== O))
    throw new ShapeError(
      `linear: expected bias (${O}) for weight ${shapeText(weight.shape)}, got ${shapeText(bias.shape)}`,
    );

  const { plan } = tape;
  const { value: threads } = kernel.consts.THREADS;
  const params = { N, O };
  const y = tape.empty('linear.y', [N, O]);
  matmulInto(plan, { a: x, b: weight, out: y, transposeB: true });
  if (bias)
    plan.dispatch(kernel, 'forward', {
      params,
      bindings: { bias, y, kept: bias.keptRows },
      workgroups: Math.ceil((N * O) / threads),
      bytes: 8 * N * O + 4 * O,
    });
  const inputs = bias ? [x, weight, bias] : [x, weight];
  return tape.record('linear', inputs, y, (dy) => {
    let dx: Tensor | null = null;
    if (tape.requiresGrad(x)) {
      dx = tape.empty('linear.dx', x.shape);
      matmulInto(plan, { a: dy, b: weight, out: dx });
    }
    if (weight.grad)
      matmulInto(plan, { a: dy, b: tape.recompute(x), out: weight.grad, transposeA: true, accumulate: true });
    if (bias?.grad)
      plan.dispatch(kernel, 'backward_bias', {
        params,
        bindings: { dy, dbias: bias.grad, kept: bias.keptRows },
        workgroups: Math.ceil(O / threads),
        bytes: 4 * N * O + 8 * O,
      });
    return bias ? [dx, null, null] : [dx, null];
  });
}
