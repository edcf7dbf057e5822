import { expectArguments } from '../checks/arguments.js';
import { expectOneOf } from '../checks/one_of.js';
import type { Tape } from '../core/tape.js';
import { activation as kernel } from '../generated/activation.js';
import { numel, type Tensor } from '../tensor/tensor.js';

/** The activations, with the value of `ACT` that selects each in the kernels. */
export const activations = { none: 0, relu: 1, relu6: 2, hardswish: 3, hardsigmoid: 4, silu: 5, sigmoid: 6 } as const;

export type Activation = keyof typeof activations;

/** @throws ConfigError where a name is no activation's */
export function checkActivation(op: string, name: Activation): void {
  expectOneOf(op, name, Object.keys(activations));
}

/**
 * y = act(x), elementwise, any shape. At a kink the gradient is that of the outer piece, as in PyTorch.
 * `none` returns x itself. After a batch normalization, pass the activation to `batchnorm`: it costs nothing there.
 *
 * @throws ConfigError where `name` is no activation's
 */
export function activation(tape: Tape, x: Tensor, name: Activation): Tensor {
  expectArguments('activation', { tape, x });
  checkActivation('activation', name);
  if (name === 'none') return x;
  const n = numel(x.shape);
  const params = { quads: Math.ceil(n / 4) };
  const workgroups = Math.ceil(params.quads / kernel.consts.THREADS.value);
  const consts = { ACT: activations[name] };
  const y = tape.emptyLike(x, `${name}.y`, x.shape);
  tape.plan.dispatch(kernel, 'forward', { params, bindings: { x, y }, workgroups, consts, bytes: 2 * x.bytes });
  return tape.record(name, [x], y, (dy) => {
    const dx = tape.empty(`${name}.dx`, x.shape);
    const bindings = { x: tape.recompute(x), dy, dx };
    tape.plan.dispatch(kernel, 'backward_input', {
      params,
      bindings,
      workgroups,
      consts,
      bytes: x.bytes + dy.bytes + dx.bytes,
    });
    return [dx];
  });
}
