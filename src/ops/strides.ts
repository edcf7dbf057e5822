// Shapes and strides for the kernels of elementwise.wgsl and copy.wgsl: at most four dimensions, with a stride per view.
// Independent of buffers.
import { ShapeError } from '../errors.js';
import { isDense } from '../tensor/footprint.js';
import { denseStrides, shapeText, type Tensor } from '../tensor/tensor.js';

const most = 4; // dimensions that the kernels support

/** Sizes of the dimensions, and the strides of each view: four each, outermost first. */
export interface Walk {
  readonly sides: readonly number[];
  readonly strides: readonly (readonly number[])[];
}

/**
 * Sizes and strides of views of one shape: dimensions that are contiguous in all of them are merged.
 *
 * @throws ShapeError if more than four remain
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
      `${op}: expected at most ${most} dimensions that cannot be merged, got ${joined.length} of ${shapeText(shape)}; reshape it`,
    );
  while (joined.length < most) joined.unshift({ side: 1, strides: views.map(() => 0) });
  return { sides: joined.map(({ side }) => side), strides: views.map((_, i) => joined.map((each) => each.strides[i])) };
}

/**
 * The broadcast shape of two shapes, as in NumPy: aligned at the last dimensions, which must be equal, 1 or missing.
 *
 * @throws ShapeError if they cannot be broadcast
 */
export function broadcastShape(op: string, a: readonly number[], b: readonly number[]): number[] {
  const length = Math.max(a.length, b.length);
  return Array.from({ length }, (_, i) => {
    const [of, or] = [a, b].map((shape) => shape[shape.length - length + i] ?? 1);
    if (of !== or && of !== 1 && or !== 1)
      throw new ShapeError(`${op}: expected shapes that can be broadcast, got ${shapeText(a)} and ${shapeText(b)}`);
    return of === 1 ? or : of;
  });
}

/** Strides of a contiguous tensor of `shape` in its broadcast shape: 0 in broadcast dimensions. */
export function broadcastStrides(shape: readonly number[], to: readonly number[]): number[] {
  const strides = denseStrides(shape);
  const missing = to.length - shape.length;
  return to.map((_, d) => (d < missing || shape[d - missing] === 1 ? 0 : strides[d - missing]));
}

/** Whether a tensor is contiguous and starts at an allowed binding offset. */
export function isBindable(x: Tensor, alignment: number): boolean {
  return isDense(x) && x.offset % alignment === 0;
}
