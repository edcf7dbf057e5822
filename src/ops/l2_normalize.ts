// Rows scaled to length 1.
import { expectArguments } from '../checks/arguments.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { l2_normalize as kernel } from '../generated/l2_normalize.js';
import type { Plan } from '../runtime/plan.js';
import { viewText } from '../tensor/footprint.js';
import { numel, shapeText, type Tensor } from '../tensor/tensor.js';
import { overRows, rowForms } from './reduction_width.js';

/** Lower bound for the length that a row is divided by. */
export const shortest = 1e-12;

/**
 * y = x / max(|x|, 1e-12), row by row, as PyTorch's `normalize`. A row that is shorter than that gets no gradient.
 *
 * @param x (N, D)
 * @returns (N, D), rows of length 1
 * @throws ShapeError if x is not a matrix
 */
export function l2Normalize(tape: Tape, x: Tensor): Tensor {
  expectArguments('l2Normalize', { tape, x });
  const [N, D] = matrixOf('l2Normalize', x);
  const forms = rowForms(tape.plan.device.software, D);
  const y = tape.empty('l2Normalize.y', x.shape);
  tape.plan.choose('l2Normalize.forward', forms, (form, plan) => {
    const { half, ...common } = overRows(form, N);
    const params = { N, D, ld: D, eps: shortest, half };
    plan.dispatch(kernel, 'forward', { ...common, params, bindings: { x, y }, bytes: 12 * N * D });
  });
  return tape.record('l2Normalize', [x], y, (dy) => {
    const dx = tape.empty('l2Normalize.dx', x.shape);
    tape.plan.choose('l2Normalize.backward', forms, (form, plan) => {
      const { half, ...common } = overRows(form, N);
      const params = { N, D, ld: D, eps: shortest, half };
      const bindings = { x: tape.recompute(x), dy, dx };
      plan.dispatch(kernel, 'backward_input', { ...common, params, bindings, bytes: 20 * N * D });
    });
    return [dx];
  });
}

/**
 * Normalizes every row of a parameter to length 1 in place, not recorded on the tape: keeps prototypes on the unit sphere
 * after each update of the optimizer.
 *
 * @param rows (N, D), possibly the leading block of a wider matrix
 * @throws ShapeError if `rows` is not a matrix, or the elements of a row are not adjacent
 */
export function l2NormalizeInPlace(plan: Plan, rows: Tensor): void {
  expectArguments('l2NormalizeInPlace', { plan, rows });
  const [N, D] = matrixOf('l2NormalizeInPlace', rows);
  if (D > 1 && rows.strides[1] !== 1)
    throw new ShapeError(
      `l2NormalizeInPlace: expected rows of neighboring elements, got ${viewText(rows)}; copy it by contiguous()`,
    );
  plan.choose('l2NormalizeInPlace', rowForms(plan.device.software, D), (form, plan) => {
    const { half, ...common } = overRows(form, N);
    const params = { N, D, ld: rows.strides[0], eps: shortest, half };
    plan.dispatch(kernel, 'in_place', { ...common, params, bindings: { rows }, bytes: 12 * N * D });
  });
}

function matrixOf(op: string, { shape }: Tensor): readonly number[] {
  if (shape.length !== 2 || numel(shape) === 0)
    throw new ShapeError(`${op}: expected a nonempty matrix (N, D), got ${shapeText(shape)}`);
  return shape;
}
