// Sums and means of a tensor, over all elements or along a dimension.

import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import type { Tape } from '../core/tape.js';
import { reduce as kernel } from '../generated/reduce.js';
import { numel, reshapeView, type Tensor } from '../tensor/tensor.js';
import { operand, sideOf } from './copy.js';

export interface ReduceOptions {
  /** The dimension to reduce; negative values count from the last. Default all elements. */
  dim?: number;
  /** Keep that dimension with size 1, for broadcasting. Default false: it is removed. */
  keepdim?: boolean;
}

const reduceOptions: Kinds<ReduceOptions> = { dim: 'number', keepdim: 'boolean' };

/**
 * The sum of all elements, or along a dimension: for a matrix (N, D), `dim` 0 sums each column, (D), and 1 each row, (N). A
 * tree reduction, so that a million elements are as exact as a few; in f32, also for x in f16.
 *
 * @param x any shape
 * @returns (1), or x's shape without the dimension, (1) if none is left; with `keepdim`, of size 1 there
 * @throws ShapeError if x has no such dimension
 */
export function sum(tape: Tape, x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce(tape, 'sum', x, options);
}

/** The mean of all elements, or along a dimension; options as for `sum`. */
export function mean(tape: Tape, x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce(tape, 'mean', x, options);
}

function reduce(tape: Tape, op: 'sum' | 'mean', x: Tensor, options: ReduceOptions): Tensor {
  expectArguments(op, { tape, x });
  const { dim, keepdim = false } = expectOptions(op, options, reduceOptions);
  const from = operand(tape, x);
  const { shape } = from;
  const d = dim === undefined ? undefined : sideOf(op, shape, dim);
  const span = d === undefined ? { outer: 1, L: numel(shape), inner: 1 } : around(shape, d);
  const left =
    d === undefined
      ? keepdim
        ? shape.map(() => 1)
        : []
      : [...shape.slice(0, d), ...(keepdim ? [1] : []), ...shape.slice(d + 1)];
  const factor = op === 'mean' ? 1 / span.L : 1;
  const y = reshapeView(sumOver(tape, op, from, span, factor), left.length > 0 ? left : [1]);
  const attributes = { ...(d !== undefined && { dim: d }), keepdim };
  return tape.record({ op, ...attributes }, [from], y, (dy) => {
    const dx = tape.empty(`${op}.dx`, shape);
    const n = numel(shape);
    tape.plan.dispatch(kernel, 'backward_input', {
      params: { ...span, splits: 1, factor },
      bindings: { dy, dx },
      workgroups: Math.ceil(n / kernel.consts.THREADS.value),
      bytes: dy.bytes + dx.bytes,
    });
    return [dx];
  });
}

/** A contiguous tensor as the kernel sees it: sizes before, of and after the reduced dimension. */
export interface Span {
  readonly outer: number;
  readonly L: number;
  readonly inner: number;
}

/** The span of dimension d. */
export function around(shape: readonly number[], d: number): Span {
  return { outer: numel(shape.slice(0, d)), L: shape[d], inner: numel(shape.slice(d + 1)) };
}

const each = 64; // elements per thread

/** factor Σ_l x[o, l, i] as (outer, inner), not recorded on the tape, for a contiguous x. */
export function sumOver(tape: Tape, op: string, x: Tensor, { outer, L, inner }: Span, factor = 1): Tensor {
  const splits = Math.ceil(L / each);
  const y = tape.empty(`${op}.${splits > 1 ? 'partials' : 'y'}`, splits > 1 ? [outer, splits, inner] : [outer, inner]);
  tape.plan.dispatch(kernel, 'forward', {
    params: { outer, L, inner, splits, factor: splits > 1 ? 1 : factor },
    bindings: { x, y },
    workgroups: Math.ceil((outer * splits * inner) / kernel.consts.THREADS.value),
    bytes: x.bytes + y.bytes,
  });
  return splits > 1 ? sumOver(tape, op, y, { outer, L: splits, inner }, factor) : y;
}
