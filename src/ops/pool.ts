// Average and max pooling.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { pool as kernel } from '../generated/pool.js';
import { numel, shapeText, type Tensor, transient } from '../tensor/tensor.js';
import { laneForms } from './reduction_width.js';

const threads = kernel.consts.THREADS.value;
const lanes = kernel.consts.LANES.value;

export interface PoolOptions {
  /** Side of the square window. */
  kernelSize: number;
  /** Step of the window; default the kernel size. */
  stride?: number;
}

const poolOptions: Kinds<PoolOptions> = { kernelSize: 'number', stride: 'number' };

export interface MaxPoolOptions extends PoolOptions {
  /** Pixels of −∞ on every side, at most half the kernel size; default 0. */
  padding?: number;
}

const maxPoolOptions: Kinds<MaxPoolOptions> = { ...poolOptions, padding: 'number' };

/** The mean of each plane: x (N, C, H, W) → (N, C). */
export function globalAveragePool(tape: Tape, x: Tensor): Tensor {
  expectArguments('globalAveragePool', { tape, x });
  const [N, C, H, W] = planesOf('globalAveragePool', x);
  const params = { NC: N * C, H, W, OH: 1, OW: 1, k: 1, S: 1, pad: 0 };
  const forms = laneForms(tape.plan.device.software, H * W, lanes);
  const common = (LANES: number) => ({
    params,
    workgroups: Math.ceil((N * C * LANES) / threads),
    consts: { LANES },
  });
  const y = tape.empty('pool.y', [N, C]);
  tape.plan.choose('globalAveragePool.forward', forms, ({ lanes }, plan) =>
    plan.dispatch(kernel, 'forward_global', { ...common(lanes), bindings: { x, pooled: y }, bytes: x.bytes + y.bytes }),
  );
  return tape.record('globalAveragePool', [x], y, (dy) => {
    const dx = tape.empty('pool.dx', x.shape);
    tape.plan.choose('globalAveragePool.backward', forms, ({ lanes }, plan) =>
      plan.dispatch(kernel, 'backward_input_global', {
        ...common(lanes),
        bindings: { dy, dx },
        bytes: dy.bytes + dx.bytes,
      }),
    );
    return [dx];
  });
}

/** Means over windows, unpadded; rows and columns that do not fill a window are dropped: (N, C, H, W) → (N, C, OH, OW). */
export function averagePool(tape: Tape, x: Tensor, options: PoolOptions): Tensor {
  expectArguments('averagePool', { tape, x });
  const { kernelSize, stride = kernelSize } = expectOptions('averagePool', options, poolOptions);
  const { params, shape, flat } = windows('averagePool', x, kernelSize, stride, 0);
  const y = tape.emptyLike(x, 'pool.y', shape);
  tape.plan.dispatch(kernel, 'forward_average', {
    params,
    bindings: { x, y },
    workgroups: flat(shape),
    bytes: x.bytes + y.bytes,
  });
  return tape.record({ op: 'averagePool', kernelSize, stride }, [x], y, (dy) => {
    const dx = tape.empty('pool.dx', x.shape);
    tape.plan.dispatch(kernel, 'backward_input_average', {
      params,
      bindings: { dy, dx },
      workgroups: flat(x.shape),
      bytes: dy.bytes + dx.bytes,
    });
    return [dx];
  });
}

/**
 * Maxima over windows: (N, C, H, W) → (N, C, OH, OW). Padding is never selected; of equal values the first in row-major order
 * is, and only it gets the gradient, as in PyTorch.
 */
export function maxPool(tape: Tape, x: Tensor, options: MaxPoolOptions): Tensor {
  expectArguments('maxPool', { tape, x });
  const { kernelSize, stride = kernelSize, padding = 0 } = expectOptions('maxPool', options, maxPoolOptions);
  const { params, shape, flat } = windows('maxPool', x, kernelSize, stride, padding);
  const y = tape.emptyLike(x, 'pool.y', shape);
  const choice = transient(tape.plan, 'pool.choice', shape, 'u32');
  tape.plan.dispatch(kernel, 'forward_max', {
    params,
    bindings: { x, y, choice },
    workgroups: flat(shape),
    bytes: x.bytes + y.bytes + choice.bytes,
  });
  return tape.record({ op: 'maxPool', kernelSize, stride, padding }, [x], y, (dy) => {
    const dx = tape.empty('pool.dx', x.shape);
    const bindings = { dy, chosen: choice, dx };
    tape.plan.dispatch(kernel, 'backward_input_max', {
      params,
      bindings,
      workgroups: flat(x.shape),
      bytes: dy.bytes + choice.bytes + dx.bytes,
    });
    return [dx];
  });
}

function planesOf(op: string, { shape }: Tensor): readonly number[] {
  if (shape.length !== 4) throw new ShapeError(`${op}: expected x (N, C, H, W), got ${shapeText(shape)}`);
  return shape;
}

function windows(op: string, x: Tensor, k: number, stride: number, padding: number) {
  const [N, C, H, W] = planesOf(op, x);
  const whole = [k, stride].every((value) => Number.isInteger(value) && value > 0) && Number.isInteger(padding);
  if (!whole || padding < 0 || 2 * padding > k)
    throw new ShapeError(
      `${op}: expected a whole kernelSize and stride of at least 1 and a padding from 0 to kernelSize / 2, ` +
        `got ${k}, ${stride} and ${padding}`,
    );
  const [OH, OW] = [H, W].map((side) => Math.floor((side + 2 * padding - k) / stride) + 1);
  if (OH < 1 || OW < 1)
    throw new ShapeError(`${op}: expected x of at least ${k - 2 * padding} pixels a side, got ${shapeText(x.shape)}`);
  return {
    params: { NC: N * C, H, W, OH, OW, k, S: stride, pad: padding },
    shape: [N, C, OH, OW],
    flat: (shape: readonly number[]) => Math.ceil(numel(shape) / threads),
  };
}
