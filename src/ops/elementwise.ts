// Elementwise arithmetic with NumPy's broadcasting, and unary functions. ReLU and other activations are in activation.ts.

import { expectArguments } from '../checks/arguments.js';
import type { Tape } from '../core/tape.js';
import { ConfigError, ShapeError } from '../errors.js';
import { elementwise as kernel } from '../generated/elementwise.js';
import { numel, reshapeView, shapeText, type Tensor } from '../tensor/tensor.js';
import { operand } from './copy.js';
import { around, sumOver } from './reduce.js';
import { broadcastShape, broadcastStrides, walk } from './strides.js';

const binaries = { add: 0, sub: 1, mul: 2, div: 3 } as const; // by the kernel's OP
const functions = { scale: 0, exp: 1, log: 2, sqrt: 3, square: 4, reciprocal: 5 } as const;
const noParams = { n1: 1, n2: 1, n3: 1, a0: 0, a1: 0, a2: 0, a3: 0, b0: 0, b1: 0, b2: 0, b3: 0, factor: 1, shift: 0 };
const threads = kernel.consts.THREADS.value;

/**
 * a − b, broadcast as in NumPy: shapes are aligned at their last dimensions, which must be equal, 1 or missing. For a of
 * (N, F), b may be a row (F) or (1, F), a column (N, 1) or a scalar (1); either may be a number.
 *
 * Both are f32 or both f16, and so is the result; gradients are f32, summed in a fixed order over broadcast dimensions. Views
 * and slices are copied first.
 *
 * @returns a tensor of the broadcast shape
 * @throws ShapeError if the shapes cannot be broadcast, ConfigError if a number is not finite
 */
export function sub(tape: Tape, a: Tensor | number, b: Tensor | number): Tensor {
  return binary(tape, 'sub', a, b);
}

/** a · b elementwise, broadcast as in `sub`. */
export function mul(tape: Tape, a: Tensor | number, b: Tensor | number): Tensor {
  return binary(tape, 'mul', a, b);
}

/** a / b elementwise, broadcast as in `sub`. */
export function div(tape: Tape, a: Tensor | number, b: Tensor | number): Tensor {
  return binary(tape, 'div', a, b);
}

/**
 * factor · x, elementwise.
 *
 * @param x any shape, f32 or f16
 * @returns the same shape
 * @throws ConfigError if the factor is not finite
 */
export function scale(tape: Tape, x: Tensor, factor: number): Tensor {
  return apply(tape, 'scale', x, { factor });
}

/** eˣ elementwise, any shape. */
export function exp(tape: Tape, x: Tensor): Tensor {
  return apply(tape, 'exp', x);
}

/** The natural logarithm of x, elementwise, any shape: NaN below 0, −∞ at 0. */
export function log(tape: Tape, x: Tensor): Tensor {
  return apply(tape, 'log', x);
}

/** √x elementwise, any shape: NaN below 0. At 0 its gradient is infinite, as in PyTorch: add an eps before. */
export function sqrt(tape: Tape, x: Tensor): Tensor {
  return apply(tape, 'sqrt', x);
}

/** x² elementwise, any shape. */
export function square(tape: Tape, x: Tensor): Tensor {
  return apply(tape, 'square', x);
}

/** A binary op of two tensors, or of a tensor and a number. */
export function binary(tape: Tape, op: keyof typeof binaries, a: Tensor | number, b: Tensor | number): Tensor {
  expectOperands(op, tape, a, b);
  if (typeof a === 'number') {
    if (typeof b === 'number') throw new ShapeError(`${op}: expected a tensor at least on one side, got two numbers`);
    if (op === 'add') return apply(tape, 'scale', b, { shift: a });
    if (op === 'sub') return apply(tape, 'scale', b, { factor: -1, shift: a });
    return apply(tape, op === 'mul' ? 'scale' : 'reciprocal', b, { factor: a });
  }
  if (typeof b === 'number') {
    if (op === 'add' || op === 'sub') return apply(tape, 'scale', a, { shift: op === 'add' ? b : -b });
    return apply(tape, 'scale', a, { factor: op === 'mul' ? b : 1 / b });
  }
  return ofTwo(tape, op, operand(tape, a), operand(tape, b));
}

function ofTwo(tape: Tape, op: keyof typeof binaries, a: Tensor, b: Tensor): Tensor {
  const { plan } = tape;
  const shape = broadcastShape(op, a.shape, b.shape);
  const n = numel(shape);
  const whole = [a, b].every((x) => numel(x.shape) === n);
  const strides = [a, b].map((x) => broadcastStrides(x.shape, shape));
  const paths = walk(op, shape, [...strides]);
  const [, n1, n2, n3] = paths.sides;
  const [[a0, a1, a2, a3], [b0, b1, b2, b3]] = paths.strides;
  const params = { ...noParams, n, n1, n2, n3, a0, a1, a2, a3, b0, b1, b2, b3 };
  const workgroups = Math.ceil((whole ? Math.ceil(n / 4) : n) / threads);

  const y = tape.emptyLike(a, `${op}.y`, shape);
  const forward = { params, workgroups, consts: { OP: binaries[op] }, bytes: a.bytes + b.bytes + y.bytes };
  if (whole) plan.dispatch(kernel, 'forward', { ...forward, bindings: { a4: a, b4: b, y4: y } });
  else plan.dispatch(kernel, 'forward_broadcast', { ...forward, bindings: { a, b, y } });

  const gradient = (SIDE: 0 | 1, dy: Tensor): Tensor | null => {
    const x = SIDE === 0 ? a : b;
    if (!tape.requiresGrad(x)) return null;
    const repeated = numel(x.shape) < n;
    const sign = op === 'sub' && SIDE === 1 ? -1 : 1;
    if (op === 'add' || (op === 'sub' && (repeated || sign === 1)))
      return repeated ? sumTo(tape, op, dy, x.shape, sign) : reshapeView(dy, x.shape);
    const dx = tape.empty(`${op}.dx`, shape);
    const consts = { OP: binaries[op], SIDE };
    const backward = { params, workgroups, consts, bytes: a.bytes + b.bytes + dy.bytes + dx.bytes };
    const [u, v] = [tape.recompute(a), tape.recompute(b)];
    if (whole) plan.dispatch(kernel, 'backward_input', { ...backward, bindings: { a4: u, b4: v, dy4: dy, dx4: dx } });
    else plan.dispatch(kernel, 'backward_input_broadcast', { ...backward, bindings: { a: u, b: v, dy, dx } });
    return repeated ? sumTo(tape, op, dx, x.shape) : reshapeView(dx, x.shape);
  };
  return tape.record(op, [a, b], y, (dy) => [gradient(0, dy), gradient(1, dy)]);
}

/** Sums a gradient over the dimensions that were broadcast, and multiplies it by `factor`. */
function sumTo(tape: Tape, op: string, dy: Tensor, shape: readonly number[], factor = 1): Tensor {
  const { sides, strides } = walk(op, dy.shape, [broadcastStrides(shape, dy.shape)]);
  const left = [...sides];
  let total = dy;
  let times = factor;
  for (let d = left.length - 1; d >= 0; d--) {
    if (strides[0][d] !== 0 || left[d] === 1) continue;
    total = sumOver(tape, `${op}.dx`, total, around(left, d), times);
    left[d] = 1;
    times = 1;
  }
  return reshapeView(total, shape);
}

/** Checks that the operands are tensors or numbers. */
export function expectOperands(op: string, tape: Tape, a: Tensor | number, b: Tensor | number): void {
  expectArguments(op, { tape, ...(typeof a !== 'number' && { a }), ...(typeof b !== 'number' && { b }) });
  const divides = op === 'div' && typeof b === 'number';
  for (const number of [a, divides ? 1 / b : b])
    if (typeof number === 'number' && !Number.isFinite(number))
      throw new ConfigError(
        `${op}: expected numbers that are finite, and none that divides by 0, got ${[a, b].filter((x) => typeof x === 'number').join(' and ')}`,
      );
}

/** A unary op. */
function apply(
  tape: Tape,
  op: keyof typeof functions,
  given: Tensor,
  { factor = 1, shift = 0 }: { factor?: number; shift?: number } = {},
): Tensor {
  expectArguments(op, { tape, x: given });
  if (![factor, shift].every(Number.isFinite))
    throw new ConfigError(`${op}: expected finite numbers, got ${factor} and ${shift} for x ${shapeText(given.shape)}`);
  const x = operand(tape, given);
  const n = numel(x.shape);
  const common = {
    params: { ...noParams, n, factor, shift },
    workgroups: Math.ceil(Math.ceil(n / 4) / threads),
    consts: { OP: functions[op] },
  };
  const y = tape.emptyLike(x, `${op}.y`, x.shape);
  tape.plan.dispatch(kernel, 'forward_map', { ...common, bindings: { x4: x, y4: y }, bytes: x.bytes + y.bytes });
  const what = op === 'scale' || op === 'reciprocal' ? { op, factor, shift } : op;
  return tape.record(what, [x], y, (dy) => {
    const dx = tape.empty(`${op}.dx`, x.shape);
    tape.plan.dispatch(kernel, 'backward_input_map', {
      ...common,
      bindings: { x4: tape.recompute(x), dy4: dy, dx4: dx },
      bytes: x.bytes + dy.bytes + dx.bytes,
    });
    return [dx];
  });
}
