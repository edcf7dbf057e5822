// 1x1 convolution: shapes, selection of a kernel variant, forward and backward.
import { expectArguments } from '../checks/arguments.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { pointwise as kernel } from '../generated/pointwise.js';
import { pointwise_subgroup as subgroupKernel } from '../generated/pointwise_subgroup.js';
import type { Plan } from '../runtime/plan.js';
import {
  numel,
  reshapeView,
  shapeText,
  squeezeKernel,
  type Tensor,
  transient,
  transposeView,
} from '../tensor/tensor.js';
import { linear } from './linear.js';
import { type Form, productForms, sharedConsts, splitsFor, tileRows } from './matmul.js';
import { lists } from './selection_bindings.js';
import { batches } from './split_batch.js';

const leastSteps = 32; // groups of four pixels that make a split worth its partial sums

/**
 * Pointwise (1x1) convolution, stride 1, no bias: y[n,o] = Σ_i weight[o,i] x[n,i].
 *
 * @param x (N, I, H, W)
 * @param weight (O, I) or (O, I, 1, 1); may be a slice of a host's tensor: a leading block, or by index lists
 * @returns (N, O, H, W)
 * @throws ShapeError if the shapes do not match
 */
export function pointwise(tape: Tape, x: Tensor, weight: Tensor): Tensor {
  expectArguments('pointwise', { tape, x, weight });
  const [N, I, H, W] = x.shape;
  const [O, , KH = 1, KW = 1] = weight.shape;
  if (x.shape.length !== 4 || numel(x.shape) === 0)
    throw new ShapeError(`pointwise: expected x (N, I, H, W), all above 0, got ${shapeText(x.shape)}`);
  const { length } = weight.shape;
  if ((length !== 2 && length !== 4) || O === 0 || weight.shape[1] !== I || KH !== 1 || KW !== 1)
    throw new ShapeError(
      `pointwise: expected weight (O, ${I}) or (O, ${I}, 1, 1) for x ${shapeText(x.shape)}, ` +
        `got ${shapeText(weight.shape)}`,
    );
  // a one-pixel map is a row of a matrix, which is f32
  if (H * W === 1 && !x.half) {
    // a parameter has a gradient view of its own; the tape must route the gradient of any other tensor
    const isMade = !weight.grad && tape.requiresGrad(weight);
    const rows = isMade ? tape.reshape(weight, [O, I]) : squeezeKernel(weight);
    return tape.reshape(linear(tape, tape.reshape(x, [N, I]), rows), [N, O, 1, 1]);
  }

  const { plan } = tape;
  const sizes = { N, I, O, HW: H * W };
  const y = tape.emptyLike(x, 'pointwise.y', [N, O, H, W]);
  const macs = macsOf(sizes);
  const of = ({ shape: [N] }: Tensor): Sizes => ({ ...sizes, N });
  for (const [xs, ys] of batches(plan, macs, x, y)) forward(plan, of(xs), xs, weight, ys);
  return tape.record('pointwise', [x, weight], y, (dy) => {
    let dx: Tensor | null = null;
    if (tape.requiresGrad(x)) {
      dx = tape.empty('pointwise.dx', x.shape);
      for (const [dys, dxs] of batches(plan, macs, dy, dx)) backwardInput(plan, of(dxs), dys, weight, dxs);
    }
    const { grad } = weight;
    if (grad)
      for (const [xs, dys] of batches(plan, macs, tape.recompute(x), dy)) backwardWeight(plan, of(xs), xs, dys, grad);
    return [dx, null];
  });
}

interface Sizes {
  readonly N: number;
  readonly I: number;
  readonly O: number;
  readonly HW: number;
}

const unsplit = { splits: 1, steps: 0, accumulate: 1, rows: 0 };

/** The strides of a weight or of its gradient. */
const view = ({ strides: [row, column] }: Tensor) => ({ row, column });

const macsOf = ({ N, I, O, HW }: Sizes): number => N * I * O * HW;

/** Of a pass that reads or writes both activations and the weight once. */
function cost(sizes: Sizes, x: Tensor, y: Tensor) {
  return { macs: macsOf(sizes), bytes: x.bytes + y.bytes + 4 * sizes.I * sizes.O };
}

function forward(plan: Plan, sizes: Sizes, x: Tensor, weight: Tensor, y: Tensor): void {
  plan.choose('pointwise.forward', productForms(plan.device.software, sizes.O, sizes.N * sizes.HW), (form, plan) => {
    if (form.name === 'plain')
      plan.dispatch(kernel, 'forward', {
        params: { ...sizes, ...view(weight), ...unsplit },
        bindings: { x, weight, y, ...lists(weight) },
        workgroups: Math.ceil(numel(y.shape) / kernel.consts.THREADS.value),
        ...cost(sizes, x, y),
      });
    else project(plan, form, sizes, x, weight, y);
  });
}

function backwardInput(plan: Plan, sizes: Sizes, dy: Tensor, weight: Tensor, dx: Tensor): void {
  const turned = { ...sizes, I: sizes.O, O: sizes.I };
  plan.choose(
    'pointwise.backward_input',
    productForms(plan.device.software, sizes.I, sizes.N * sizes.HW),
    (form, plan) => {
      if (form.name === 'plain')
        plan.dispatch(kernel, 'backward_input', {
          params: { ...sizes, ...view(weight), ...unsplit },
          bindings: { dy, weight, dx, ...lists(weight) },
          workgroups: Math.ceil(numel(dx.shape) / kernel.consts.THREADS.value),
          ...cost(sizes, dx, dy),
        });
      else project(plan, form, turned, dy, transposeView(weight), dx);
    },
  );
}

/** y = weight times every pixel of x, by the given variant. */
function project(plan: Plan, form: Form, sizes: Sizes, x: Tensor, weight: Tensor, y: Tensor): void {
  const { N, O, HW } = sizes;
  const pixels = N * HW;
  const rows = tileRows(form, O);
  const params = { ...sizes, ...view(weight), ...unsplit, rows };
  const kept = lists(weight);
  if (form.share) {
    const THREADS = plan.device.software ? 8 : 32; // a software adapter executes one SIMD vector at a time: short rows waste less
    const common = {
      params,
      workgroups: Math.ceil(O / rows) * Math.ceil(pixels / (8 * THREADS)),
      consts: { ROWS: rows, SHARE: form.share, THREADS },
      ...cost(sizes, x, y),
    };
    if (HW % 4 === 0)
      plan.dispatch(subgroupKernel, 'forward4', { ...common, bindings: { x4: x, weight, y4: y, ...kept } });
    else plan.dispatch(subgroupKernel, 'forward', { ...common, bindings: { x, weight, y, ...kept } });
    return;
  }
  const common = { params, bindings: { x, weight, y, ...kept }, ...cost(sizes, x, y) };
  if (form.side)
    plan.dispatch(kernel, 'forward_shared', {
      ...common,
      consts: sharedConsts(form),
      workgroups: Math.ceil(O / form.side) * Math.ceil(pixels / form.side),
    });
  else
    plan.dispatch(kernel, 'forward_register', {
      ...common,
      workgroups: Math.ceil(O / rows) * Math.ceil(pixels / (4 * kernel.consts.THREADS.value)),
    });
}

/** dweight += Σ_n,p dy[n,o,p] x[n,i,p], split over the pixels if the weight is too small to occupy the adapter. */
function backwardWeight(plan: Plan, sizes: Sizes, x: Tensor, dy: Tensor, dweight: Tensor): void {
  const { I, O } = sizes;
  const straight: Correlation = { sizes, x, dy, dweight };
  const turned: Correlation = { sizes: { ...sizes, I: O, O: I }, x: dy, dy: x, dweight: transposeView(dweight) };
  plan.choose('pointwise.backward_weight', productForms(plan.device.software, O, I), (form, plan) => {
    // only the kernel's operand x may be f16
    const across = !x.half && tilesOf(plan, form, I, O).work < tilesOf(plan, form, O, I).work;
    correlate(plan, form, across ? turned : straight);
  });
}

interface Correlation {
  readonly sizes: Sizes;
  readonly x: Tensor;
  readonly dy: Tensor;
  readonly dweight: Tensor;
}

function correlate(plan: Plan, form: Form, { sizes, x, dy, dweight }: Correlation): void {
  const { N, I, O, HW } = sizes;
  if (form.name === 'plain') {
    const workgroups = Math.ceil((O * I) / kernel.consts.THREADS.value);
    plan.dispatch(kernel, 'backward_weight', {
      params: { ...sizes, ...view(dweight), ...unsplit },
      bindings: { x, dy, dweight, ...lists(dweight) },
      workgroups,
      ...cost(sizes, x, dy),
    });
    return;
  }
  const { tiles, rows, columns } = tilesOf(plan, form, O, I);
  const allSteps = N * Math.ceil(HW / 4);
  const steps = Math.ceil(allSteps / splitsFor(plan.device.software, tiles, allSteps, leastSteps));
  const splits = Math.ceil(allSteps / steps);

  const partials = splits > 1 ? transient(plan, 'pointwise.partials', [splits, O, I]) : undefined;
  const target = partials ? reshapeView(partials, [splits * O, I]) : dweight;
  const params = { ...sizes, ...view(target), splits, steps, accumulate: partials ? 0 : 1, rows };
  const kept = lists(target);
  const common = { workgroups: tiles * splits, ...cost(sizes, x, dy) };
  if (form.share) {
    const consts = { ROWS: rows, SHARE: form.share, COLUMNS: columns };
    const subgroup = { ...common, params, consts };
    if (HW % 4 === 0)
      plan.dispatch(subgroupKernel, 'backward_weight4', {
        ...subgroup,
        bindings: { x4: x, dy4: dy, dweight: target, ...kept },
      });
    else
      plan.dispatch(subgroupKernel, 'backward_weight', { ...subgroup, bindings: { x, dy, dweight: target, ...kept } });
  } else
    plan.dispatch(kernel, form.side ? 'backward_weight_shared' : 'backward_weight_register', {
      ...common,
      params,
      bindings: { x, dy, dweight: target, ...kept },
      consts: sharedConsts(form),
    });
  if (!partials) return;
  plan.dispatch(kernel, 'backward_weight_sum', {
    params: { ...params, ...view(dweight) },
    bindings: { partials, dweight, ...lists(dweight) },
    workgroups: Math.ceil((O * I) / kernel.consts.THREADS.value),
    bytes: 4 * O * I * (splits + 2),
  });
}

/** The tiles of an (O, I) weight: their number, rows, threads, and their total cost in tiles of 16 rows. */
function tilesOf(plan: Plan, form: Form, O: number, I: number) {
  const rows = tileRows(form, O);
  const columns = Math.max(subgroupKernel.consts.COLUMNS.value, plan.device.subgroupSize);
  const width = form.side ?? 4 * (form.share ? columns : kernel.consts.COLUMNS.value);
  const tiles = Math.ceil(O / (form.side ?? rows)) * Math.ceil(I / width);
  return { tiles, rows, columns, work: tiles * (rows === 16 ? 1 : 0.65) };
}
