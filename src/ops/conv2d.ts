// conv2d: shapes, selection of a kernel variant, forward and backward.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { conv2d as kernel } from '../generated/conv2d.js';
import { conv2d_subgroup as subgroupKernel } from '../generated/conv2d_subgroup.js';
import { conv2d_tile as tileKernel } from '../generated/conv2d_tile.js';
import { conv2d_weight as weightKernel } from '../generated/conv2d_weight.js';
import { conv2d_window as windowKernel } from '../generated/conv2d_window.js';
import type { Plan } from '../runtime/plan.js';
import { viewText } from '../tensor/footprint.js';
import { numel, shapeText, type Tensor, transient, transposeView } from '../tensor/tensor.js';
import { tileRows } from './matmul.js';
import { pointwise } from './pointwise.js';
import { lists } from './selection_bindings.js';
import { batches } from './split_batch.js';

/** Stride and padding of a kernel, in pixels. */
export interface ConvOptions {
  /** Default 1. */
  stride?: number;
  /** Zeros on every side; default 0. */
  padding?: number;
}

export const convOptions: Kinds<ConvOptions> = { stride: 'number', padding: 'number' };

/**
 * Convolution without bias: x (N, I, H, W), weight (O, I, k, k) → (N, O, OH, OW),
 * OH = ⌊(H + 2·padding − k) / stride⌋ + 1.
 *
 * The weight may be a slice of a wider host's, the leading (O, I) block or an index list's; its gradient is accumulated there.
 * k = 1, stride 1, padding 0 is `pointwise`.
 *
 * @throws ShapeError where the shapes do not fit.
 */
export function conv2d(tape: Tape, x: Tensor, weight: Tensor, options: ConvOptions = {}): Tensor {
  expectArguments('conv2d', { tape, x, weight });
  const { stride = 1, padding = 0 } = expectOptions('conv2d', options, convOptions);
  const shape = check(x, weight, stride, padding);
  if (shape.k === 1 && stride === 1 && padding === 0) return pointwise(tape, x, weight);
  const y = tape.emptyLike(x, 'conv2d.y', [shape.N, shape.O, shape.OH, shape.OW]);
  const { plan } = tape;
  const macs = macsOf(shape);
  const of = ({ shape: [N] }: Tensor): Shape => ({ ...shape, N });
  for (const [xs, ys] of batches(plan, macs, x, y)) forward(plan, of(xs), xs, weight, ys);
  return tape.record({ op: 'conv2d', stride, padding }, [x, weight], y, (dy) => {
    const { grad } = weight;
    if (grad)
      for (const [xs, dys] of batches(plan, macs, tape.recompute(x), dy)) backwardWeight(plan, of(xs), xs, dys, grad);
    if (!tape.requiresGrad(x)) return [null, null];
    const dx = tape.empty('conv2d.dx', x.shape);
    for (const [dys, dxs] of batches(plan, macs, dy, dx)) backwardInput(plan, of(dxs), weight, dys, dxs);
    return [dx, null];
  });
}

interface Shape {
  readonly N: number;
  readonly I: number;
  readonly O: number;
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
  if (x.shape.length !== 4) throw new ShapeError(`conv2d: expected x (N, I, H, W), got ${shapeText(x.shape)}`);
  const [N, I, H, W] = x.shape;
  const [O, , k] = weight.shape;
  if (weight.shape.length !== 4 || weight.shape[1] !== I || weight.shape[3] !== k || !(O > 0) || !(k > 0))
    throw new ShapeError(`conv2d: expected weight (O, ${I}, k, k), got ${shapeText(weight.shape)}`);
  if (weight.strides[1] !== k * k && I > 1)
    throw new ShapeError(
      `conv2d: expected a weight with contiguous rows, got a view ${viewText(weight)}; copy it by contiguous()`,
    );
  const [OH, OW] = outputSize('conv2d', x, k, S, pad);
  return { N, I, O, H, W, OH, OW, k, S, pad, ldw: weight.strides[0] };
}

/**
 * Height and width of the output of a k x k window sliding over x (…, H, W).
 *
 * @throws ShapeError, in the op's name.
 */
export function outputSize(
  op: string,
  x: Tensor,
  k: number,
  stride: number,
  padding: number,
): [OH: number, OW: number] {
  checkMoves(op, stride, padding);
  const [H, W] = x.shape.slice(-2);
  if (H + 2 * padding < k || W + 2 * padding < k)
    throw new ShapeError(
      `${op}: expected a padded map of at least ${k}x${k}, got ${shapeText(x.shape)} with padding ${padding}; ` +
        'pad more, or use a smaller kernel',
    );
  return [Math.floor((H + 2 * padding - k) / stride) + 1, Math.floor((W + 2 * padding - k) / stride) + 1];
}

/** @throws ShapeError, in the op's name, where one is no whole number or too small */
export function checkMoves(op: string, stride: number, padding: number): void {
  if (!Number.isInteger(stride) || stride < 1)
    throw new ShapeError(`${op}: expected a whole stride of at least 1, got ${stride}`);
  if (!Number.isInteger(padding) || padding < 0)
    throw new ShapeError(`${op}: expected a whole padding of at least 0, got ${padding}`);
}

const macsOf = ({ N, O, OH, OW, I, k }: Shape): number => N * O * OH * OW * I * k * k;
const octets = (channels: number): number => Math.ceil(channels / 8);

/** Every pass has these variants; the plain one is the reference and never the default. */
const windows = [
  { name: 'subgroup8', subgroups: 8, kernel: subgroupKernel, consts: { LANES: 8 } },
  { name: 'subgroup4', subgroups: 4, kernel: subgroupKernel, consts: { LANES: 4 } },
  { name: 'window', kernel: windowKernel, consts: {} },
] as const;
const plain = { name: 'plain' } as const;
/** For 3x3 kernels: twice as many outputs per thread as fit easily into GPU registers, so not the default there. */
const tiles = [
  { name: 'tile8', subgroups: 8, share: 8 },
  { name: 'tile4', subgroups: 4, share: 4 },
] as const;

type Window = (typeof windows)[number];
type Form = Window | (typeof tiles)[number] | typeof plain;

/** Multiply-adds above which a tile's extra compile time, half a second, is recovered within a few hundred steps. */
const worthTiles = 16e6;

function forms({ device }: Plan, tiled: boolean, macs: number): readonly Form[] {
  if (!tiled) return [...windows, plain];
  return device.software && macs >= worthTiles ? [...tiles, ...windows, plain] : [...windows, ...tiles, plain];
}

function forward(plan: Plan, shape: Shape, x: Tensor, weight: Tensor, y: Tensor): void {
  const { N, O, OH, OW, k, S } = shape;
  const cost = { macs: macsOf(shape), bytes: x.bytes + y.bytes + 4 * numel(weight.shape) };
  const common = { params: { ...shape, splits: 1 }, bindings: { x, weight, y, ...lists(weight) }, ...cost };
  const consts = { k, S, THREADS: 64 };
  plan.choose('conv2d.forward', forms(plan, k === 3 && S <= 2, cost.macs), (form, plan) => {
    if ('share' in form) {
      tile(plan, form, { ...shape, turn: 0 }, { x, weight, y }, cost);
    } else if ('kernel' in form) {
      const workgroups = octets(O) * Math.ceil((N * OH * Math.ceil(OW / 4)) / 64);
      plan.dispatch(form.kernel, 'forward_window', { ...common, consts: { ...consts, ...form.consts }, workgroups });
    } else plan.dispatch(kernel, 'forward', { ...common, consts, workgroups: Math.ceil((N * O * OH * OW) / 64) });
  });
}

function backwardInput(plan: Plan, shape: Shape, weight: Tensor, dy: Tensor, dx: Tensor): void {
  const { N, I, O, H, W, OH, OW, k, S, pad } = shape;
  const cost = { macs: macsOf(shape), bytes: dx.bytes + dy.bytes + 4 * numel(weight.shape) };
  const common = { params: { ...shape, splits: 1 }, bindings: { weight, dy, dx, ...lists(weight) }, ...cost };
  const consts = { k, S, THREADS: 64 };
  const tiled = k === 3 && (S === 1 ? pad < 3 : S === 2 && pad === 1);
  plan.choose('conv2d.backward_input', forms(plan, tiled, cost.macs), (form, plan) => {
    if ('share' in form) {
      if (S === 1) {
        const turned = { N, I: O, O: I, H: OH, W: OW, OH: H, OW: W, pad: 2 - pad, S, turn: 1 };
        tile(plan, form, turned, { x: dy, weight: transposeView(weight), y: dx }, cost);
        return;
      }
      const [row, column] = weight.strides;
      const THREADS = tileThreads(plan);
      const blocks = N * Math.ceil(H / 2) * Math.ceil(W / 8);
      plan.dispatch(tileKernel, 'backward_input_tile2', {
        ...cost,
        params: { ...shape, row, column, turn: 0, channels: 8 },
        bindings: common.bindings,
        consts: { SHARE: form.share, THREADS },
        workgroups: octets(I) * Math.ceil(blocks / THREADS),
      });
    } else if ('kernel' in form) {
      const threads = N * Math.ceil(H / S) * Math.ceil(Math.ceil(W / S) / 4);
      plan.dispatch(form.kernel, 'backward_input_window', {
        ...common,
        consts: { ...consts, ...form.consts },
        workgroups: octets(I) * S * S * Math.ceil(threads / 64),
      });
    } else plan.dispatch(kernel, 'backward_input', { ...common, consts, workgroups: Math.ceil((N * I * H * W) / 64) });
  });
}

interface TileParams extends Omit<Shape, 'k' | 'ldw'> {
  readonly turn: number;
}

/** A 3x3 correlation in tiles of two rows of 4 outputs. */
function tile(
  plan: Plan,
  form: (typeof tiles)[number],
  params: TileParams,
  { x, weight, y }: { x: Tensor; weight: Tensor; y: Tensor },
  cost: { macs: number; bytes: number },
): void {
  const { N, O, OH, OW, S } = params;
  const [row, column] = weight.strides;
  const channels = tileRows(form, O);
  const THREADS = tileThreads(plan);
  const common = {
    ...cost,
    params: { ...params, row, column, channels },
    consts: { CHANNELS: channels, SHARE: form.share, S, THREADS },
    workgroups: Math.ceil(O / channels) * Math.ceil((N * Math.ceil(OH / 2) * Math.ceil(OW / 4)) / THREADS),
  };
  if (OW % 4 === 0)
    plan.dispatch(tileKernel, 'forward_tile4', { ...common, bindings: { x, weight, y4: y, ...lists(weight) } });
  else plan.dispatch(tileKernel, 'forward_tile', { ...common, bindings: { x, weight, y, ...lists(weight) } });
}

/** A software adapter executes one SIMD vector at a time; workgroups of that size waste no lanes on small maps. */
const tileThreads = (plan: Plan): number => (plan.device.software ? 8 : 64);

function backwardWeight(plan: Plan, shape: Shape, x: Tensor, dy: Tensor, dweight: Tensor): void {
  plan.choose('conv2d.backward_weight', forms(plan, shape.k === 3, macsOf(shape)), (form, plan) =>
    correlate(plan, form, shape, x, dy, dweight),
  );
}

function correlate(plan: Plan, form: Form, shape: Shape, x: Tensor, dy: Tensor, dweight: Tensor): void {
  const { N, I, O, OH, OW, k, S } = shape;
  const weights = O * I * k * k;
  const cost = { macs: macsOf(shape), bytes: x.bytes + dy.bytes + 8 * weights };
  const tilesPerRow = Math.ceil(OW / 4);
  if (form.name === 'plain') {
    plan.dispatch(kernel, 'backward_weight', {
      ...cost,
      params: { ...shape, splits: 1 },
      bindings: { x, dy, dweight, ...lists(dweight) },
      consts: { k, S, THREADS: 32 },
      workgroups: Math.ceil(weights / 32),
    });
    return;
  }
  if ('share' in form) {
    const THREADS = plan.device.software ? 8 : 32;
    const few = I <= 4 && S <= 2;
    const groups = few ? Math.ceil(O / (2 * THREADS)) * Math.ceil(I / 3) : Math.ceil(I / THREADS) * octets(O);
    const splits = splitsFor(groups, N * tilesPerRow, OH);
    const partial = transient(plan, 'conv2d.partial', [splits, O, I, k, k]);
    plan.dispatch(weightKernel, few ? 'backward_weight_few' : 'backward_weight_tile', {
      ...cost,
      params: { ...shape, splits },
      bindings: { x, dy, partial },
      consts: { SHARE: form.share, S, THREADS },
      workgroups: groups * splits,
    });
    addUp(plan, { ...shape, splits }, partial, dweight);
    return;
  }
  const threads = I * k * Math.ceil(k / 3);
  // Whole vectors of lanes, since every lane loads for the others; no more than the work fills.
  const lanes = form.name === 'subgroup4' ? 4 : 8;
  const THREADS = Math.min(32, Math.ceil(threads / lanes) * lanes);
  const groups = Math.ceil(threads / THREADS) * octets(O);
  const splits = splitsFor(groups, N * OH, tilesPerRow);
  const partial = transient(plan, 'conv2d.partial', [splits, O, I, k, k]);
  plan.dispatch(form.kernel, 'backward_weight_window', {
    ...cost,
    params: { ...shape, splits },
    bindings: { x, dy, partial },
    consts: { k, S, THREADS, ...form.consts },
    workgroups: groups * splits,
  });
  addUp(plan, { ...shape, splits }, partial, dweight);
}

function addUp(plan: Plan, params: Shape & { splits: number }, partial: Tensor, dweight: Tensor): void {
  const { k, S, splits } = params;
  const weights = numel(dweight.shape);
  plan.dispatch(kernel, 'backward_weight_sum', {
    params,
    bindings: { partial, dweight, ...lists(dweight) },
    consts: { k, S, THREADS: 64 },
    workgroups: Math.ceil(weights / 64),
    bytes: 4 * weights * (splits + 2),
  });
}

/** Enough splits to occupy a GPU, provided that each processes a few hundred tiles of dy. */
function splitsFor(groups: number, rows: number, tilesPerRow: number): number {
  const wanted = Math.ceil(256 / groups);
  return Math.max(1, Math.min(wanted, Math.floor((rows * tilesPerRow) / 256), rows));
}
