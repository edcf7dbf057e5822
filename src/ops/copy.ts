// Ops that copy without arithmetic: contiguous copies of views, parts and concatenations. The ops of elementwise.ts and
// reduce.ts leave strides, index lists and gradients accumulated in place to this file.

import { expectArguments, expectTensors } from '../checks/arguments.js';
import { textOf } from '../checks/text_of.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { copy as kernel } from '../generated/copy.js';
import type { Plan } from '../runtime/plan.js';
import { checkExtent, elementBytes, extent, viewText } from '../tensor/footprint.js';
import { denseStrides, numel, shapeText, type Tensor, transposeView } from '../tensor/tensor.js';
import { isBindable, walk } from './strides.js';

/**
 * x in contiguous memory: x itself if it is contiguous, else a copy. Accepts the views that `slice`, `narrow`, `select` and
 * `transpose` of a DeviceTensor return. The gradient of a parameter's view is accumulated in the same view of its gradient.
 * The tape does not connect a view of an activation with the whole: use the ops `narrow` and `transpose` for that.
 *
 * @param x any shape; at most four dimensions that cannot be merged
 * @returns the same shape
 * @throws ShapeError if there are more
 */
export function contiguous(tape: Tape, x: Tensor): Tensor {
  expectArguments('contiguous', { tape, x });
  return isBindable(x, alignment(tape.plan)) ? x : operand(tape, x);
}

/** x for kernels that take neither strides nor index lists, and that overwrite its gradient: contiguous, copied if it is not. */
export function operand(tape: Tape, x: Tensor): Tensor {
  const dense = isBindable(x, alignment(tape.plan));
  if (dense && !(x.grad && tape.requiresGrad(x))) return x;
  const { grad, ...view } = x;
  const y = dense ? view : gather(tape, 'contiguous', x);
  return tape.record('contiguous', [x], y, (dy) => {
    if (!grad) return [dy];
    scatter(tape.plan, 'contiguous', dy, grad, true);
    return [null];
  });
}

/**
 * The same memory as a constant: no gradient flows through it.
 *
 * @param x any shape
 * @returns the same shape
 */
export function detach(tape: Tape, x: Tensor): Tensor {
  expectArguments('detach', { tape, x });
  const { grad: _, ...y } = x;
  return tape.record('detach', [x], { ...y, detached: true });
}

/**
 * A part of a tensor, copied: `length` positions of dimension `dim`, starting at `start`.
 *
 * @param x any shape
 * @param dim the side, counted from 0, or from the last by −1
 * @returns x's shape, with `length` in that dimension
 * @throws ShapeError where x has no such dimension or too few positions
 */
export function narrow(tape: Tape, x: Tensor, dim: number, start: number, length: number): Tensor {
  expectArguments('narrow', { tape, x });
  const d = sideOf('narrow', x.shape, dim);
  if (![start, length].every(Number.isInteger) || start < 0 || length < 1 || start + length > x.shape[d])
    throw new ShapeError(
      `narrow: expected positions of dimension ${d} of ${shapeText(x.shape)}, at least 1, got ${length} from ${start} on`,
    );
  const from = operand(tape, x);
  const y = gather(tape, 'narrow', part(from, d, start, length));
  return tape.record({ op: 'narrow', dim: d, start, length }, [from], y, (dy) => {
    const dx = tape.empty('narrow.dx', from.shape);
    tape.plan.clear(dx);
    scatter(tape.plan, 'narrow', dy, part(dx, d, start, length));
    return [dx];
  });
}

/**
 * The leading block of a tensor, copied: for activations what `DeviceTensor.slice` is for weights.
 *
 * @param x any shape
 * @param shape of the block: as many dimensions as x, none larger
 * @throws ShapeError if it is not a block of x
 */
export function slice(tape: Tape, x: Tensor, shape: readonly number[]): Tensor {
  expectArguments('slice', { tape, x });
  if (shape?.length !== x.shape.length)
    throw new ShapeError(`slice: expected a block of ${shapeText(x.shape)}, got ${shapeText(shape)}`);
  return shape.reduce((y, side, d) => (side === y.shape[d] ? y : narrow(tape, y, d, 0, side)), x);
}

/**
 * Concatenates tensors along a dimension.
 *
 * @param tensors shapes equal except in that dimension; a tensor may occur several times
 * @param dim the side, counted from 0, or from the last by −1
 * @throws ShapeError if the list is empty, or the other dimensions differ
 */
export function concat(tape: Tape, tensors: readonly Tensor[], dim = 0): Tensor {
  expectArguments('concat', { tape });
  if (!Array.isArray(tensors) || tensors.length === 0)
    throw new ShapeError(
      `concat: expected at least one tensor, got ${tensors?.length === 0 ? 'none' : textOf(tensors)}`,
    );
  for (const [i, x] of tensors.entries()) expectTensors('concat', { [`tensor ${i}`]: x });
  const [first]: readonly Tensor[] = tensors;
  const d = sideOf('concat', first.shape, dim);
  const without = ({ shape }: Tensor) => shapeText(shape.filter((_, i) => i !== d));
  for (const each of tensors)
    if (each.shape.length !== first.shape.length || without(each) !== without(first))
      throw new ShapeError(
        `concat: expected shapes equal except in dimension ${d}, got ${shapeText(first.shape)} and ${shapeText(each.shape)}`,
      );
  const parts = tensors.map((x) => operand(tape, x));
  const starts = parts.map((_, i) => parts.slice(0, i).reduce((sum, { shape }) => sum + shape[d], 0));
  const total = parts.reduce((sum, { shape }) => sum + shape[d], 0);
  const y = tape.emptyLike(
    first,
    'concat.y',
    first.shape.map((side, i) => (i === d ? total : side)),
  );
  parts.forEach((x, i) => {
    scatter(tape.plan, 'concat', x, part(y, d, starts[i], x.shape[d]));
  });
  return tape.record({ op: 'concat', dim: d }, parts, y, (dy) =>
    parts.map((x, i) => (tape.requiresGrad(x) ? gather(tape, 'concat', part(dy, d, starts[i], x.shape[d])) : null)),
  );
}

/**
 * The transpose of a matrix, copied.
 *
 * @param x (N, D)
 * @returns (D, N)
 * @throws ShapeError if x is not a matrix
 */
export function transpose(tape: Tape, x: Tensor): Tensor {
  expectArguments('transpose', { tape, x });
  if (x.shape.length !== 2) throw new ShapeError(`transpose: expected x (N, D), got ${shapeText(x.shape)}`);
  const from = operand(tape, x);
  return tape.record('transpose', [from], gather(tape, 'transpose', transposeView(from)), (dy) => [
    gather(tape, 'transpose', transposeView(dy)),
  ]);
}

/** The index of a dimension; negative ones count from the last. */
export function sideOf(op: string, shape: readonly number[], dim: number): number {
  const d = dim < 0 ? dim + shape.length : dim;
  if (!(Number.isInteger(d) && d >= 0 && d < shape.length))
    throw new ShapeError(
      `${op}: expected a dim from ${-shape.length} to ${shape.length - 1} of ${shapeText(shape)}, got ${dim}`,
    );
  return d;
}

/** A view of some positions of dimension d of a contiguous tensor. */
function part(x: Tensor, d: number, start: number, length: number): Tensor {
  const shape = x.shape.map((side, i) => (i === d ? length : side));
  return {
    ...x,
    shape,
    strides: denseStrides(x.shape),
    offset: x.offset + start * denseStrides(x.shape)[d] * elementBytes(x),
  };
}

/** A contiguous copy of a view, not recorded on the tape. */
function gather(tape: Tape, op: string, x: Tensor): Tensor {
  const y = tape.emptyLike(x, `${op}.y`, x.shape);
  const { view, lists, ...common } = layout(tape.plan, op, x);
  tape.plan.dispatch(kernel, 'gather', { ...common, bindings: { view, dense_out: y, ...lists } });
  return y;
}

/** Writes a contiguous block into a view, or accumulates it there. */
function scatter(plan: Plan, op: string, dense: Tensor, to: Tensor, accumulate = false): void {
  const { view, lists, ...common } = layout(plan, op, to);
  const consts = { ACCUMULATE: accumulate };
  plan.dispatch(kernel, 'scatter', { ...common, consts, bindings: { dense, view_out: view, ...lists } });
}

/** Stride parameters of a view, and its binding, which starts at the last allowed offset before it. */
function layout(plan: Plan, op: string, x: Tensor) {
  if (x.integer)
    throw new ShapeError(
      `${op}: expected f32 or f16 numbers, got ${x.integer} ${viewText(x)}; whole numbers have no such op`,
    );
  checkExtent(op, x);
  const listed = x.keptRows || x.keptColumns;
  const beyond = x.offset % alignment(plan);
  const four = <T>(values: readonly T[], fill: T) => [...values, ...Array<T>(4 - values.length).fill(fill)];
  // index lists apply to the first two dimensions, which therefore cannot be merged
  const { sides, strides } = listed
    ? { sides: four(x.shape, 1), strides: [four(x.strides, 0)] }
    : walk(op, x.shape, [x.strides]);
  const n = numel(x.shape);
  const [, n1, n2, n3] = sides;
  const [s0, s1, s2, s3] = strides[0];
  const bytes = listed ? x.bytes : extent(x.shape, x.strides) * elementBytes(x);
  const { storage, half } = x;
  return {
    params: { n, n1, n2, n3, s0, s1, s2, s3, first: beyond / elementBytes(x) },
    view: { storage, offset: x.offset - beyond, bytes: bytes + beyond, ...(half && { half }) },
    lists: { kept_rows: x.keptRows, kept_columns: x.keptColumns },
    workgroups: Math.ceil(n / kernel.consts.THREADS.value),
    bytes: 2 * n * elementBytes(x),
  };
}

const alignment = (plan: Plan) => plan.device.limits.minStorageBufferOffsetAlignment;
