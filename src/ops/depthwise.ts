// Depthwise convolution: shapes, selection of a kernel variant, forward and backward.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions } from '../checks/options.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { depthwise as kernel } from '../generated/depthwise.js';
import { depthwise_strip3 as strip3 } from '../generated/depthwise_strip3.js';
import { depthwise_strip5 as strip5 } from '../generated/depthwise_strip5.js';
import { depthwise_subgroup as subgroupKernel } from '../generated/depthwise_subgroup.js';
import type { Plan } from '../runtime/plan.js';
import { numel, shapeText, type Tensor, transient } from '../tensor/tensor.js';
import { type ConvOptions, convOptions, outputSize } from './conv2d.js';
import { batches } from './split_batch.js';

/**
 * Depthwise convolution without bias: x (N, C, H, W), weight (C, 1, k, k) → (N, C, OH, OW),
 * OH = ⌊(H + 2·padding − k) / stride⌋ + 1.
 *
 * The weight may be C channels of a wider host's: the leading ones, or an index list's; its gradient is accumulated there.
 *
 * @throws ShapeError where the shapes do not fit.
 */
export function depthwise(tape: Tape, x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  expectArguments('depthwise', { tape, x, weight });
  const { stride = 1, padding = 0 } = expectOptions('depthwise', options, convOptions);
  const shape = check(x, weight, stride, padding);
  const y = tape.emptyLike(x, 'depthwise.y', [shape.N, shape.C, shape.OH, shape.OW]);
  const { plan } = tape;
  const macs = macsOf(shape);
  const of = ({ shape: [N] }: Tensor): Shape => ({ ...shape, N });
  for (const [xs, ys] of batches(plan, macs, x, y)) forward(plan, of(xs), xs, weight, ys);
  return tape.record({ op: 'depthwise', stride, padding }, [x, weight], y, (dy) => {
    const { grad } = weight;
    if (grad)
      for (const [xs, dys] of batches(plan, macs, tape.recompute(x), dy)) backwardWeight(plan, of(xs), xs, dys, grad);
    if (!tape.requiresGrad(x)) return [null, null];
    const dx = tape.empty('depthwise.dx', x.shape);
    for (const [dys, dxs] of batches(plan, macs, dy, dx)) backwardInput(plan, of(dxs), weight, dys, dxs);
    return [dx, null];
  });
}

interface Shape {
  readonly N: number;
  readonly C: number;
  readonly H: number;
  readonly W: number;
  readonly OH: number;
  readonly OW: number;
  readonly k: number;
  readonly S: number;
  readonly pad: number;
  readonly ldw: number;
}

function check(x: Tensor, weight: Tensor, S: number, pad: number): Shape {
  if (x.shape.length !== 4) throw new ShapeError(`depthwise: expected x (N, C, H, W), got ${shapeText(x.shape)}`);
  const [N, C, H, W] = x.shape;
  const [, , k] = weight.shape;
  if (weight.shape.length !== 4 || weight.shape[0] !== C || weight.shape[1] !== 1 || weight.shape[3] !== k || !(k > 0))
    throw new ShapeError(`depthwise: expected weight (${C}, 1, k, k), got ${shapeText(weight.shape)}`);
  const [OH, OW] = outputSize('depthwise', x, k, S, pad);
  return { N, C, H, W, OH, OW, k, S, pad, ldw: weight.strides[0] };
}

type Form = 'shuffle' | 'strip' | 'row' | 'plain';

/**
 * The variants of a pass for this shape, fastest first. Strips are for k = 3 and 5 with strides 1 and 2. With k = 3,
 * stride 1, padding 1 and a power of two of tiles per row, at most the threads of a workgroup, lanes exchange edges by
 * subgroup shuffles. The row variant takes any shape; plain is the reference.
 */
function forms(
  { OW, k, S, pad }: Shape,
  strip: boolean,
  threads: number,
): readonly { name: Form; subgroups?: number }[] {
  const tiles = Math.ceil(OW / 4);
  const candidates: { name: Form; subgroups?: number }[] = [{ name: 'row' }, { name: 'plain' }];
  if (strip) candidates.unshift({ name: 'strip' });
  if (k === 3 && S === 1 && pad === 1 && Number.isInteger(Math.log2(tiles)) && tiles <= threads)
    candidates.unshift({ name: 'shuffle', subgroups: tiles });
  return candidates;
}

const hasStrips = ({ k, S }: Shape): boolean => (k === 3 || k === 5) && S <= 2;

/** Rows per thread: more rows load fewer pixels twice, fewer rows yield more threads. */
function stripRows(plan: Plan, rows: number): number {
  return Math.min(rows, plan.device.software ? 32 : 4);
}

const macsOf = ({ N, C, OH, OW, k }: Shape): number => N * C * OH * OW * k * k;
const wide = 64; // threads of a workgroup
/** On a software adapter a thread is a SIMD lane: workgroups of one vector waste no lanes on small maps. */
const weightThreads = (plan: Plan): number => (plan.device.software ? 8 : wide);
const groupsOf = (count: number): number => Math.ceil(count / wide);

const stripKernel = (k: number) => (k === 5 ? strip5 : strip3);

function forward(plan: Plan, shape: Shape, x: Tensor, weight: Tensor, y: Tensor): void {
  const { N, C, OH, OW, k, S } = shape;
  const rows = stripRows(plan, OH);
  const options = {
    params: { ...shape, rows, turn: 0, splits: 1 },
    bindings: { x, weight, y, kept: weight.keptRows },
    macs: macsOf(shape),
    bytes: x.bytes + y.bytes + 4 * numel(weight.shape),
  };
  const consts = { k, S };
  const tiles = N * C * Math.ceil(OW / 4);
  const strips = groupsOf(tiles * Math.ceil(OH / rows));
  const candidates = forms(shape, hasStrips(shape), wide);
  plan.choose('depthwise.forward', candidates, ({ name }, plan) => {
    if (name === 'shuffle') plan.dispatch(subgroupKernel, 'forward_strip', { ...options, workgroups: strips });
    if (name === 'strip')
      plan.dispatch(stripKernel(k), 'forward_strip', { ...options, consts: { S }, workgroups: strips });
    if (name === 'row') plan.dispatch(kernel, 'forward_row', { ...options, consts, workgroups: groupsOf(tiles * OH) });
    if (name === 'plain')
      plan.dispatch(kernel, 'forward', { ...options, consts, workgroups: groupsOf(N * C * OH * OW) });
  });
}

function backwardInput(plan: Plan, shape: Shape, weight: Tensor, dy: Tensor, dx: Tensor): void {
  const { N, C, H, W, OH, OW, k, S, pad } = shape;
  const rows = stripRows(plan, S === 1 ? H : OH);
  const params = { ...shape, rows, turn: 0, splits: 1 };
  const bindings = { weight, dy, dx, kept: weight.keptRows };
  const cost = { macs: macsOf(shape), bytes: dx.bytes + dy.bytes + 4 * numel(weight.shape) };
  const consts = { k, S };
  const candidates = forms(shape, hasStrips(shape) && (S === 1 ? pad < k : 2 * pad === k - 1), wide);
  plan.choose('depthwise.backward_input', candidates, ({ name }, plan) => {
    if (name === 'plain')
      plan.dispatch(kernel, 'backward_input', {
        ...cost,
        params,
        bindings,
        consts,
        workgroups: groupsOf(N * C * H * W),
      });
    if (name === 'row') {
      const workgroups = groupsOf(N * C * H * S * Math.ceil(Math.ceil(W / S) / 4));
      plan.dispatch(kernel, 'backward_input_row', { ...cost, params, bindings, consts, workgroups });
    }
    if (name === 'strip' && S === 2) {
      const workgroups = groupsOf(N * C * Math.ceil(OH / rows) * Math.ceil(OW / 4));
      plan.dispatch(stripKernel(k), 'backward_input_strip', { ...cost, params, bindings, consts: { S }, workgroups });
    }
    if (name === 'shuffle' || (name === 'strip' && S === 1)) {
      const correlation = {
        ...cost,
        params: { ...params, H: OH, W: OW, OH: H, OW: W, pad: k - 1 - pad, turn: 1 },
        bindings: { x: dy, weight, y: dx, kept: weight.keptRows },
        workgroups: groupsOf(N * C * Math.ceil(H / rows) * Math.ceil(W / 4)),
      };
      if (name === 'shuffle') plan.dispatch(subgroupKernel, 'forward_strip', correlation);
      else plan.dispatch(stripKernel(k), 'forward_strip', { ...correlation, consts: { S } });
    }
  });
}

function backwardWeight(plan: Plan, shape: Shape, x: Tensor, dy: Tensor, dweight: Tensor): void {
  const candidates = forms(shape, hasStrips(shape), weightThreads(plan));
  plan.choose('depthwise.backward_weight', candidates, ({ name }, plan) =>
    correlate(plan, name, shape, x, dy, dweight),
  );
}

function correlate(plan: Plan, form: Form, shape: Shape, x: Tensor, dy: Tensor, dweight: Tensor): void {
  const { N, C, OH, OW, k, S } = shape;
  const weights = C * k * k;
  const common = { macs: macsOf(shape), bytes: x.bytes + dy.bytes + 8 * weights };
  if (form === 'plain') {
    plan.dispatch(kernel, 'backward_weight', {
      ...common,
      params: { ...shape, splits: 1 },
      bindings: { x, dy, dweight, kept: dweight.keptRows },
      consts: { k, S },
      workgroups: groupsOf(weights),
    });
    return;
  }
  const THREADS = weightThreads(plan);
  const rows = form === 'row' ? 1 : stripRows(plan, OH);
  const groups = form === 'row' ? C * k * Math.ceil(k / 7) : C;
  const splits = splitsFor(groups, (N * Math.ceil(OH / rows) * Math.ceil(OW / 4)) / THREADS);
  const params = { ...shape, rows, turn: 0, splits };
  const partial = transient(plan, 'depthwise.partial', [splits, C, k, k]);
  const options = { ...common, params, bindings: { x, dy, partial }, workgroups: groups * splits };
  if (form === 'shuffle') plan.dispatch(subgroupKernel, 'backward_weight_strip', { ...options, consts: { THREADS } });
  if (form === 'strip') plan.dispatch(stripKernel(k), 'backward_weight_strip', { ...options, consts: { S, THREADS } });
  if (form === 'row') plan.dispatch(kernel, 'backward_weight_row', { ...options, consts: { k, S, THREADS } });
  plan.dispatch(kernel, 'backward_weight_sum', {
    params,
    bindings: { partial, dweight, kept: dweight.keptRows },
    consts: { k, S },
    workgroups: groupsOf(weights),
    bytes: 4 * weights * (splits + 2),
  });
}

/** Enough splits to occupy a GPU, provided that each thread processes a few strips. */
function splitsFor(groups: number, stripsPerThread: number): number {
  return Math.max(1, Math.min(Math.ceil(256 / groups), Math.floor(stripsPerThread / 4)));
}
