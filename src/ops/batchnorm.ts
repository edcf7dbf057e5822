// Batch normalization with its activation, forward and backward, by batch or running statistics.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import type { Tape } from '../core/tape.js';
import { ConfigError, ShapeError } from '../errors.js';
import { batchnorm as kernel } from '../generated/batchnorm.js';
import type { Plan } from '../runtime/plan.js';
import type { Variant } from '../runtime/variants.js';
import type { Binding } from '../tensor/binding.js';
import { shapeText, type Tensor, transient } from '../tensor/tensor.js';
import { type Activation, activations, checkActivation } from './activation.js';

export interface BatchNormParameters {
  /** Scale and shift, (C) each; a slim encoder passes C of its host's channels: the leading ones, or an index list's. */
  gamma: Tensor;
  beta: Tensor;
  /** (C) each, selected by the same index list, variance unbiased; updated in place, in a buffer separate from the weights. */
  runningMean: Tensor;
  runningVar: Tensor;
}

export interface BatchNormOptions {
  /** Normalize by the batch's statistics; otherwise by the running ones, which the backward treats as constants. */
  training?: boolean;
  /** Fold the batch into the running statistics. Default in training, but not on a tape with noGrad. */
  updateStats?: boolean;
  /** Weight of the batch in the updated running statistics. */
  momentum?: number;
  eps?: number;
  /** Applied to the result, in the same pass. */
  activation?: Activation;
}

const tensors: Kinds<BatchNormParameters> = {
  gamma: 'object',
  beta: 'object',
  runningMean: 'object',
  runningVar: 'object',
};
const batchNormOptions: Kinds<BatchNormOptions> = {
  training: 'boolean',
  updateStats: 'boolean',
  momentum: 'number',
  eps: 'number',
  activation: 'string',
};

/**
 * y = act(gamma · (x − mean) / sqrt(var + eps) + beta) per channel of x (N, C, H, W) or (N, C).
 *
 * Forward: three tensor passes in two dispatches (three if a channel is so large that its reduction is split).
 * Backward: five passes in two dispatches; five floats per channel are saved, x̂ and the activation's derivative are recomputed.
 *
 * @throws ShapeError if a parameter is not (C), or a training batch has a single element per channel.
 */
export function batchnorm(
  tape: Tape,
  x: Tensor,
  parameters: BatchNormParameters,
  options: BatchNormOptions = {},
): Tensor {
  expectArguments('batchnorm', { tape, x });
  expectOptions('batchnorm', options, batchNormOptions);
  const { gamma, beta, runningMean, runningVar } = expectOptions('batchnorm', parameters, tensors);
  expectArguments('batchnorm', { gamma, beta, runningMean, runningVar });
  const sizes = check(x, parameters, options);
  const { C, training, momentum, eps, activation } = sizes;
  const { updateStats = training && !tape.noGrad } = options;
  const channel = tape.empty('batchnorm.channel', [C, 5]);
  const y = tape.emptyLike(x, 'batchnorm.y', x.shape);
  const candidates = forms(tape.plan.device.software);
  tape.plan.choose('batchnorm.forward', candidates, (form, plan) => {
    const work = layOut(plan, form, sizes, updateStats);
    if (training) batchStatistics(work, x, parameters, channel);
    else runningStatistics(work, parameters, channel);
    normalize(work, x, channel, y);
  });
  tape.recomputable(y, () => {
    const again = tape.emptyLike(x, 'batchnorm.again', x.shape);
    tape.plan.choose('batchnorm.again', candidates, (form, plan) =>
      normalize(layOut(plan, form, sizes, false), tape.recompute(x), channel, again),
    );
    return again;
  });
  const operation = { op: 'batchnorm', training, momentum, eps, activation };
  return tape.record(operation, [x, gamma, beta, runningMean, runningVar], y, (dy) => {
    const saved = tape.recompute(x);
    const sums = tape.empty('batchnorm.sums', [C, 2]);
    const { kept } = sizes;
    const dgamma = gamma.grad ?? tape.empty('batchnorm.dgamma', [gamma.bytes / 4]);
    const dbeta = beta.grad ?? tape.empty('batchnorm.dbeta', [beta.bytes / 4]);
    const dx = tape.requiresGrad(x) ? tape.empty('batchnorm.dx', x.shape) : null;
    tape.plan.choose('batchnorm.backward', candidates, (form, plan) => {
      const work = layOut(plan, form, sizes, updateStats);
      backwardParameters(work, saved, dy, channel, { dgamma, dbeta, sums, kept });
      if (dx) backwardInput(work, saved, dy, channel, sums, dx);
    });
    return [dx, null, null, null, null];
  });
}

interface Form extends Variant {
  /** Threads of a tree reduction: a workgroup's, in the planes layout and in merges. */
  readonly threads: number;
  /** Workgroups wanted in a reduction, and in a pass over all elements. */
  readonly reducing: number;
  readonly mapping: number;
}

/** Software adapters have few cores and slow barriers: narrow is four times as fast there. */
function forms(software: boolean): readonly Form[] {
  const narrow: Form = { name: 'narrow', threads: 8, reducing: 8, mapping: 8 };
  const wide: Form = { name: 'wide', threads: 64, reducing: 256, mapping: 1024 };
  return software ? [narrow, wide] : [wide, narrow];
}

/** How the dispatches of a pass divide their work. */
type Work = ReturnType<typeof layOut>;

function layOut(plan: Plan, form: Form, sizes: Sizes, updateStats: boolean) {
  const { N, C, HW, training, momentum, eps, activation } = sizes;
  const planes = HW % 4 === 0;
  const spread = { THREADS: planes ? form.threads : kernel.consts.THREADS.value };
  const activated = { ...spread, ACT: activations[activation] };
  const reduction = cut(planes, N, C, HW, { threads: spread.THREADS, groups: form.reducing, least: planes ? 8 : 128 });
  const mapping = cut(planes, N, C, HW, { threads: spread.THREADS, groups: form.mapping, least: planes ? 4 : 16 });
  const shared = { N, C, HW, momentum, eps, update: updateStats ? 1 : 0, inverse: training ? 1 / (N * HW) : 0 };
  const reducing = {
    params: { ...shared, ...reduction.params, half: spread.THREADS / 2 },
    workgroups: reduction.workgroups,
  };
  const { partials } = reduction.params;
  return {
    plan,
    planes,
    C,
    /** Partial results of a channel's reduction; with one, no merge is needed. */
    partials,
    partial: (label: string, floats: number) =>
      transient(plan, label, partials === 1 ? [floats] : [partials, C, floats]),
    /** Of a reduction, and of the merge of its partial results. */
    reducing,
    merging: {
      params: { ...reducing.params, half: form.threads / 2 },
      consts: { THREADS: form.threads },
      workgroups: [C, 1, 1] as const,
    },
    /** Of a pass over all elements. */
    mapped: { params: { ...reducing.params, ...mapping.params }, workgroups: mapping.workgroups, consts: activated },
    spread,
    activated,
  };
}

const perChannel = ({ gamma, beta, runningMean, runningVar }: BatchNormParameters) => ({
  gamma,
  beta,
  running_mean: runningMean,
  running_var: runningVar,
  kept: gamma.keptRows,
});

function batchStatistics(work: Work, x: Tensor, parameters: BatchNormParameters, channel: Tensor): void {
  const { plan, planes, C, partials, reducing } = work;
  const moments = work.partial('batchnorm.moments', 4);
  const results = { moments, ...perChannel(parameters), channel_out: channel };
  const cost = { bytes: x.bytes, consts: work.spread };
  if (planes) plan.dispatch(kernel, 'statistics_planes', { ...reducing, ...cost, bindings: { x4: x, ...results } });
  else plan.dispatch(kernel, 'statistics_columns', { ...reducing, ...cost, bindings: { x, ...results } });
  if (partials > 1)
    plan.dispatch(kernel, 'merge_statistics', { ...work.merging, bindings: results, bytes: 16 * partials * C });
}

function runningStatistics(work: Work, parameters: BatchNormParameters, channel: Tensor): void {
  const { plan, C, reducing, spread } = work;
  plan.dispatch(kernel, 'running_statistics', {
    params: reducing.params,
    bindings: { ...perChannel(parameters), channel_out: channel },
    consts: spread,
    workgroups: Math.ceil(C / spread.THREADS),
    bytes: 36 * C,
  });
}

function normalize({ plan, planes, mapped }: Work, x: Tensor, channel: Tensor, y: Tensor): void {
  const cost = { bytes: x.bytes + y.bytes };
  if (planes) plan.dispatch(kernel, 'forward_planes', { ...mapped, ...cost, bindings: { x4: x, channel, y4: y } });
  else plan.dispatch(kernel, 'forward_columns', { ...mapped, ...cost, bindings: { x, channel, y } });
}

/** dgamma and dbeta, accumulated in place, and the sums that dx needs too. */
function backwardParameters(
  work: Work,
  x: Tensor,
  dy: Tensor,
  channel: Tensor,
  { sums, ...gradients }: { dgamma: Tensor; dbeta: Tensor; sums: Tensor; kept: Binding | undefined },
): void {
  const { plan, planes, C, partials, reducing } = work;
  const parts = work.partial('batchnorm.sums_part', 2);
  const results = { sums_part: parts, sums_out: sums, ...gradients };
  const cost = { bytes: x.bytes + dy.bytes, consts: work.activated };
  if (planes)
    plan.dispatch(kernel, 'sums_planes', { ...reducing, ...cost, bindings: { x4: x, dy4: dy, channel, ...results } });
  else plan.dispatch(kernel, 'sums_columns', { ...reducing, ...cost, bindings: { x, dy, channel, ...results } });
  if (partials > 1)
    plan.dispatch(kernel, 'merge_sums', { ...work.merging, bindings: results, bytes: 8 * partials * C });
}

function backwardInput(work: Work, x: Tensor, dy: Tensor, channel: Tensor, sums: Tensor, dx: Tensor): void {
  const { plan, planes, mapped } = work;
  const cost = { bytes: x.bytes + dy.bytes + dx.bytes };
  if (planes)
    plan.dispatch(kernel, 'backward_input_planes', {
      ...mapped,
      ...cost,
      bindings: { x4: x, dy4: dy, dx4: dx, channel, sums },
    });
  else plan.dispatch(kernel, 'backward_input_columns', { ...mapped, ...cost, bindings: { x, dy, dx, channel, sums } });
}

/** A call in canonical form: x as (N, C, HW), and its options with defaults filled in. */
type Sizes = ReturnType<typeof check>;

function check(x: Tensor, parameters: BatchNormParameters, options: BatchNormOptions) {
  const { training = true } = options;
  const { momentum, eps, activation } = checkNorm('batchnorm', options);
  if (x.shape.length !== 4 && x.shape.length !== 2)
    throw new ShapeError(`batchnorm: expected x (N, C, H, W) or (N, C), got ${shapeText(x.shape)}`);
  const [N, C, H = 1, W = 1] = x.shape;
  for (const [name, { shape }] of Object.entries(parameters))
    if (shape.length !== 1 || shape[0] !== C)
      throw new ShapeError(`batchnorm: expected ${name} (${C}) for x ${shapeText(x.shape)}, got ${shapeText(shape)}`);
  const { keptRows: kept } = parameters.gamma;
  for (const [name, { keptRows: list }] of Object.entries(parameters))
    if (list?.storage !== kept?.storage || list?.offset !== kept?.offset)
      throw new ShapeError(`batchnorm: expected ${name} to use the index list of gamma`);
  if (training && N * H * W < 2)
    throw new ShapeError(
      `batchnorm: expected more than one value a channel in training, got x ${shapeText(x.shape)}; use a larger batch`,
    );
  return { N, C, HW: H * W, training, momentum, eps, activation, kept };
}

/**
 * The numeric options, with defaults filled in.
 *
 * @throws ConfigError where one is out of range
 */
export function checkNorm(
  op: string,
  { momentum = 0.1, eps = 1e-5, activation = 'none' }: Pick<BatchNormOptions, 'momentum' | 'eps' | 'activation'>,
) {
  checkActivation(`${op}: activation`, activation);
  if (!(eps > 0 && eps < Number.POSITIVE_INFINITY)) throw new ConfigError(`${op}: expected eps > 0, got ${eps}`);
  if (!(momentum >= 0 && momentum <= 1)) throw new ConfigError(`${op}: expected momentum from 0 to 1, got ${momentum}`);
  return { momentum, eps, activation };
}

interface Cut {
  /** Threads of a workgroup. */
  threads: number;
  /** Workgroups wanted in all, to occupy the adapter. */
  groups: number;
  /** Minimum quads (planes) or rows (columns) per thread. */
  least: number;
}

const longest = 1024; // elements that a thread sums sequentially: more would cost precision

/** Divides each channel's work into splits. */
function cut(planes: boolean, N: number, C: number, HW: number, { threads, groups, least }: Cut) {
  const tiles = planes ? 1 : Math.ceil((C * HW) / threads);
  const length = planes ? (N * HW) / 4 : N;
  const stride = planes ? threads : 1; // a split begins where the threads' stride does
  const most = Math.floor(length / (least * stride));
  const wanted = Math.max(Math.ceil(groups / (planes ? C : tiles)), Math.ceil(length / (longest * stride)));
  const chunk = Math.ceil(length / Math.max(1, Math.min(wanted, most)) / stride) * stride;
  const splits = Math.ceil(length / chunk);
  const width = planes ? 1 : HW;
  return {
    params: { splits, chunk, tiles, width, partials: splits * width },
    workgroups: planes ? ([C, splits, 1] as const) : tiles * splits,
  };
}
