import { expectArguments } from '../checks/arguments.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { scale_channels as kernel } from '../generated/scale_channels.js';
import { numel, shapeText, type Tensor } from '../tensor/tensor.js';
import { laneForms } from './reduction_width.js';

/**
 * y[n,c,h,w] = scale[n,c] x[n,c,h,w]: the excitation of squeeze-and-excitation.
 *
 * @param x (N, C, H, W)
 * @param scale (N, C), f32
 * @returns (N, C, H, W)
 * @throws ShapeError if the shapes do not match
 */
export function scaleChannels(tape: Tape, x: Tensor, scale: Tensor): Tensor {
  expectArguments('scaleChannels', { tape, x, scale });
  const [N, C, H, W] = x.shape;
  if (x.shape.length !== 4 || numel(x.shape) === 0)
    throw new ShapeError(`scaleChannels: expected x (N, C, H, W), all above 0, got ${shapeText(x.shape)}`);
  if (shapeText(scale.shape) !== shapeText([N, C]))
    throw new ShapeError(
      `scaleChannels: expected scale ${shapeText([N, C])} for x ${shapeText(x.shape)}, got ${shapeText(scale.shape)}`,
    );
  const lanes = kernel.consts.LANES.value;
  const common = (LANES: number) => ({
    params: { NC: N * C, HW: H * W },
    workgroups: Math.ceil((N * C * LANES) / kernel.consts.THREADS.value),
    consts: { LANES },
  });
  const y = tape.emptyLike(x, 'scaleChannels.y', x.shape);
  tape.plan.dispatch(kernel, 'forward', {
    ...common(lanes),
    bindings: { x, scale, y },
    bytes: 2 * x.bytes + scale.bytes,
  });
  return tape.record('scaleChannels', [x, scale], y, (dy) => {
    const dx = tape.empty('scaleChannels.dx', x.shape);
    const dscale = tape.empty('scaleChannels.dscale', scale.shape);
    const bindings = { x: tape.recompute(x), scale, dy, dx, dscale };
    const forms = laneForms(tape.plan.device.software, H * W, lanes);
    tape.plan.choose('scaleChannels.backward', forms, ({ lanes }, plan) =>
      plan.dispatch(kernel, 'backward', {
        ...common(lanes),
        bindings,
        bytes: x.bytes + dy.bytes + dx.bytes + 2 * scale.bytes,
      }),
    );
    return [dx, dscale];
  });
}
