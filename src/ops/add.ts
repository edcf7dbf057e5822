import type { Tape } from '../core/tape.js';
import { shapeText, type Tensor } from '../tensor/tensor.js';
import { operand } from './copy.js';
import { binary, expectOperands } from './elementwise.js';

/**
 * a + b, broadcast as `sub` is. Of equal shapes it is the residual add, by a kernel of its own.
 *
 * @returns the shape that both are broadcast to
 * @throws ShapeError where the shapes do not fit, ConfigError where a number is not finite
 */
export function add(tape: Tape, a: Tensor | number, b: Tensor | number): Tensor {
  expectOperands('add', tape, a, b);
  if (typeof a === 'number' || typeof b === 'number' || shapeText(a.shape) !== shapeText(b.shape))
    return binary(tape, 'add', a, b);
  const [u, v] = [operand(tape, a), operand(tape, b)];
  return tape.record('add', [u, v], tape.accumulate(u, v), (dy) => [dy, dy]);
}
