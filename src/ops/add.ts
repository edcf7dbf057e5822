import { ShapeError } from '../errors.js';
import type { Tape } from '../tape.js';
import { shapeText, type Tensor } from '../tensor.js';

/** y = a + b of equal shapes: the residual add. */
export function add(tape: Tape, a: Tensor, b: Tensor): Tensor {
  if (shapeText(a.shape) !== shapeText(b.shape))
    throw new ShapeError(`add: expected equal shapes, got ${shapeText(a.shape)} and ${shapeText(b.shape)}`);
  return tape.record('add', [a, b], tape.sum(a, b), (dy) => [dy, dy]);
}
