// How the kernels of elementwise.wgsl and copy.wgsl walk through views: at most four sides, and a stride of each view for each.
// Knows shapes alone, no memory.
import { ShapeError } from '../errors.js';
import { isDense } from '../tensor/footprint.js';
import { denseStrides, shapeText, type Tensor } from '../tensor/tensor.js';

const most = 4; // sides that the kernels know

/** Sides, and for each view its strides over them: four each, from the outermost on. */
export interface Walk {
  readonly sides: readonly number[];
  readonly strides: readonly (readonly number[])[];
}

/**
 * A walk through views of one shape: sides that lie together in all of them are joined.
 *
 * @throws ShapeError where more than four remain
 */
export function walk(op: string, shape: readonly number[], views: readonly (readonly number[])[]): Walk {
  const joined: { side: number; strides: number[] }[] = [];
  for (let d = shape.length - 1; d >= 0; d--) {
    if (shape[d] === 1) continue;
    const strides = views.map((view) => view[d]);
    const inner = joined[0];
    if (inner && strides.every((stride, i) => stride === inner.side * inner.strides[i])) inner.side *= shape[d];
    else joined.unshift({ side: shape[d], strides });
  }
  if (joined.length > most)
    throw new ShapeError(
      `${op}: expected at most ${most} sides that lie apart, got ${joined.length} of ${shapeText(shape)}; reshape it`,
    );
  while (joined.length < most) joined.unshift({ side: 1, strides: views.map(() => 0) });
  return { sides: joined.map(({ side }) => side), strides: views.map((_, i) => joined.map((each) => each.strides[i])) };
}

/**
 * The shape that two broadcast to, as NumPy has it: aligned at their last sides, which are equal, or 1, or missing.
 *
 * @throws ShapeError where they do not
 */
export function broadcastShape(op: string, a: readonly number[], b: readonly number[]): number[] {
  const length = Math.max(a.length, b.length);
  return Array.from({ length }, (_, i) => {
    const [of, or] = [a, b].map((shape) => shape[shape.length - length + i] ?? 1);
    if (of !== or && of !== 1 && or !== 1)
      throw new ShapeError(
        `${op}: expected shapes whose sides, aligned at the last, are equal or 1, got ${shapeText(a)} and ${shapeText(b)}`,
      );
    return of === 1 ? or : of;
  });
}

/** Strides of a dense tensor of `shape` over what it is broadcast to: 0 where it is repeated. */
export function broadcastStrides(shape: readonly number[], to: readonly number[]): number[] {
  const strides = denseStrides(shape);
  const missing = to.length - shape.length;
  return to.map((_, d) => (d < missing || shape[d - missing] === 1 ? 0 : strides[d - missing]));
}

/** Whether a tensor is dense and begins where a binding may. */
export function isBindable(x: Tensor, alignment: number): boolean {
  return isDense(x) && x.offset % alignment === 0;
}
