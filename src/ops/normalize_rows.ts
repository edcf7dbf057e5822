import { expectArguments } from '../checks/arguments.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { normalize_rows as kernel } from '../generated/normalize_rows.js';
import type { Plan } from '../runtime/plan.js';
import { viewText } from '../tensor/footprint.js';
import { numel, shapeText, type Tensor } from '../tensor/tensor.js';
import { overRows, rowForms } from './lanes.js';

/** What lengths are raised to before a row is divided by its own. */
export const shortest = 1e-12;

/**
 * y = x / max(|x|, 1e-12), row by row, as PyTorch's `normalize`. A row that is shorter than that gets no gradient.
 *
 * @param x (N, D)
 * @returns (N, D), rows of length 1
 * @throws ShapeError where x is no matrix
 */
export function normalizeRows(tape: Tape, x: Tensor): Tensor {
  expectArguments('normalizeRows', { tape, x });
  const [N, D] = matrixOf('normalizeRows', x);
  const forms = rowForms(tape.plan.device.software, D);
  const y = tape.empty('normalizeRows.y', x.shape);
  tape.plan.choose('normalizeRows.forward', forms, (form, plan) => {
    const { half, ...common } = overRows(form, N);
    const params = { N, D, ld: D, eps: shortest, half };
    plan.dispatch(kernel, 'forward', { ...common, params, bindings: { x, y }, bytes: 12 * N * D });
  });
  return tape.record('normalizeRows', [x], y, (dy) => {
    const dx = tape.empty('normalizeRows.dx', x.shape);
    tape.plan.choose('normalizeRows.backward', forms, (form, plan) => {
      const { half, ...common } = overRows(form, N);
      const params = { N, D, ld: D, eps: shortest, half };
      const bindings = { x: tape.restore(x), dy, dx };
      plan.dispatch(kernel, 'backward', { ...common, params, bindings, bytes: 20 * N * D });
    });
    return [dx];
  });
}

/**
 * Gives every row of a parameter length 1 where it lies, unrecorded: what keeps prototypes on the sphere after each update of
 * the optimizer.
 *
 * @param rows (N, D), maybe the leading block of a wider matrix
 * @throws ShapeError where `rows` is no matrix, or elements of a row lie apart
 */
export function normalizeRowsInPlace(plan: Plan, rows: Tensor): void {
  expectArguments('normalizeRowsInPlace', { plan, rows });
  const [N, D] = matrixOf('normalizeRowsInPlace', rows);
  if (D > 1 && rows.strides[1] !== 1)
    throw new ShapeError(
      `normalizeRowsInPlace: expected rows of neighbouring elements, got ${viewText(rows)}; copy it by contiguous()`,
    );
  plan.choose('normalizeRowsInPlace', rowForms(plan.device.software, D), (form, plan) => {
    const { half, ...common } = overRows(form, N);
    const params = { N, D, ld: rows.strides[0], eps: shortest, half };
    plan.dispatch(kernel, 'in_place', { ...common, params, bindings: { rows }, bytes: 12 * N * D });
  });
}

function matrixOf(op: string, { shape }: Tensor): readonly number[] {
  if (shape.length !== 2 || numel(shape) === 0)
    throw new ShapeError(`${op}: expected a matrix (N, D), none of its sides 0, got ${shapeText(shape)}`);
  return shape;
}
