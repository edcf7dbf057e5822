import type { Tape } from '../core/tape.js';
import { shapeText, type Tensor } from '../tensor/tensor.js';
import { operand } from './copy.js';
import { binary, expectOperands } from './elementwise.js';

/**
 * a + b, broadcast as in `sub`. Equal shapes (the residual add) have a dedicated kernel.
 *
 * @returns a tensor of the broadcast shape
 * @throws ShapeError if the shapes cannot be broadcast, ConfigError if a number is not finite
 */
export function add(tape: Tape, a: Tensor | number, b: Tensor | number): Tensor {
  expectOperands('add', tape, a, b);
  if (typeof a === 'number' || typeof b === 'number' || shapeText(a.shape) !== shapeText(b.shape))
    return binary(tape, 'add', a, b);
  const [u, v] = [operand(tape, a), operand(tape, b)];
  return tape.record('add', [u, v], tape.accumulate(u, v), (dy) => [dy, dy]);
}
