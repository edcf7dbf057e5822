import { ConfigError, ShapeError } from '../errors.js';
import { batchnorm as kernel } from '../generated/batchnorm.js';
import type { Tape } from '../tape.js';
import { shapeText, type Tensor } from '../tensor.js';
import { type Activation, activations } from './activation.js';

export interface BatchNormParameters {
  /** Scale and shift, (C) each; a slim encoder passes the leading C of its host's. */
  gamma: Tensor;
  beta: Tensor;
  /** (C) each, variance unbiased; updated in place, in a buffer that holds no weights. */
  runningMean: Tensor;
  runningVar: Tensor;
}

export interface BatchNormOptions {
  /** Normalise by the batch's statistics; otherwise by the running ones, which are then constants to the backward. */
  training?: boolean;
  /** Fold the batch into the running statistics. By default in training, but never on a frozen tape. */
  updateStats?: boolean;
  /** The batch's share in the new running statistics. */
  momentum?: number;
  eps?: number;
  /** Applied to the result, in the same pass. */
  activation?: Activation;
}

export type { Activation };

const threads = kernel.consts.THREADS.value;

/**
 * y = act(gamma · (x − mean) / sqrt(var + eps) + beta) per channel of x (N, C, H, W) or (N, C).
 *
 * Forward: three tensor passes in two dispatches (three where a channel is so large that its reduction is split).
 * Backward: five in two; only five floats a channel are kept, x̂ and the activation's slope are recomputed.
 *
 * @throws ShapeError where a parameter is not (C), or a training batch holds a single element a channel.
 */
export function batchnorm(
  tape: Tape,
  x: Tensor,
  { gamma, beta, runningMean, runningVar }: BatchNormParameters,
  options: BatchNormOptions = {},
): Tensor {
  const { training = true, momentum = 0.1, eps = 1e-5, activation = 'none' } = options;
  const { updateStats = training && !tape.frozen } = options;
  const [N, C, P] = check(x, { gamma, beta, runningMean, runningVar }, training, eps, momentum);
  const n = N * C * P;
  const { plan } = tape;
  const consts = { ACT: activations[activation] };

  const planes = P % 4 === 0;
  const reduction = cut(planes, N, C, P, planes ? { groups: 256, least: 8 } : { groups: 128, least: 128 });
  const mapping = cut(planes, N, C, P, planes ? { groups: 1024, least: 4 } : { groups: 256, least: 16 });
  const shared = { N, C, P, momentum, eps, update: updateStats ? 1 : 0, inverse: training ? 1 / (N * P) : 0 };
  const reducing = { params: { ...shared, ...reduction.params }, workgroups: reduction.workgroups };
  const mapped = { params: { ...shared, ...mapping.params }, workgroups: mapping.workgroups, consts };
  const { partials } = reduction.params;
  const partial = (label: string, floats: number) =>
    tape.empty(label, partials === 1 ? [floats] : [partials, C, floats]);

  const channel = tape.empty('batchnorm.channel', [C, 5]);
  if (training) {
    const moments = partial('batchnorm.moments', 4);
    const results = { moments, gamma, beta, running_mean: runningMean, running_var: runningVar, channel_out: channel };
    const cost = { macs: 2 * n, bytes: 4 * n };
    if (planes) plan.dispatch(kernel, 'statistics_planes', { ...reducing, ...cost, bindings: { x4: x, ...results } });
    else plan.dispatch(kernel, 'statistics_columns', { ...reducing, ...cost, bindings: { x, ...results } });
    if (partials > 1)
      plan.dispatch(kernel, 'merge_statistics', {
        params: reducing.params,
        bindings: results,
        workgroups: [C, 1, 1],
        bytes: 16 * partials * C,
      });
  } else {
    const bindings = { gamma, beta, running_mean: runningMean, running_var: runningVar, channel_out: channel };
    plan.dispatch(kernel, 'running_statistics', {
      params: reducing.params,
      bindings,
      workgroups: Math.ceil(C / threads),
      bytes: 36 * C,
    });
  }

  const y = tape.empty('batchnorm.y', x.shape);
  const cost = { macs: n, bytes: 8 * n };
  if (planes) plan.dispatch(kernel, 'forward_planes', { ...mapped, ...cost, bindings: { x4: x, channel, y4: y } });
  else plan.dispatch(kernel, 'forward_columns', { ...mapped, ...cost, bindings: { x, channel, y } });

  return tape.record('batchnorm', [x, gamma, beta], y, (dy) => {
    const sums = tape.empty('batchnorm.sums', [C, 2]);
    const parts = partial('batchnorm.sums_part', 2);
    const dgamma = gamma.grad ?? tape.empty('batchnorm.dgamma', [C]);
    const dbeta = beta.grad ?? tape.empty('batchnorm.dbeta', [C]);
    const results = { sums_part: parts, sums_out: sums, dgamma, dbeta };
    const cost = { macs: 3 * n, bytes: 8 * n, consts };
    if (planes)
      plan.dispatch(kernel, 'sums_planes', { ...reducing, ...cost, bindings: { x4: x, dy4: dy, channel, ...results } });
    else plan.dispatch(kernel, 'sums_columns', { ...reducing, ...cost, bindings: { x, dy, channel, ...results } });
    if (partials > 1)
      plan.dispatch(kernel, 'merge_sums', {
        params: reducing.params,
        bindings: results,
        workgroups: [C, 1, 1],
        bytes: 8 * partials * C,
      });
    if (!tape.needsGrad(x)) return [null, null, null];

    const dx = tape.empty('batchnorm.dx', x.shape);
    const inputs = { channel, sums };
    const price = { macs: 4 * n, bytes: 12 * n };
    if (planes)
      plan.dispatch(kernel, 'backward_planes', {
        ...mapped,
        ...price,
        bindings: { x4: x, dy4: dy, dx4: dx, ...inputs },
      });
    else plan.dispatch(kernel, 'backward_columns', { ...mapped, ...price, bindings: { x, dy, dx, ...inputs } });
    return [dx, null, null];
  });
}

/** (N, C, P) of x, once everything fits. */
function check(x: Tensor, parameters: BatchNormParameters, training: boolean, eps: number, momentum: number) {
  if (x.shape.length !== 4 && x.shape.length !== 2)
    throw new ShapeError(`batchnorm: expected x (N, C, H, W) or (N, C), got ${shapeText(x.shape)}`);
  const [N, C, H = 1, W = 1] = x.shape;
  for (const [name, { shape }] of Object.entries(parameters))
    if (shape.length !== 1 || shape[0] !== C)
      throw new ShapeError(`batchnorm: expected ${name} (${C}) for x ${shapeText(x.shape)}, got ${shapeText(shape)}`);
  if (training && N * H * W < 2)
    throw new ShapeError(
      `batchnorm: expected more than one value a channel in training, got x ${shapeText(x.shape)}; use a larger batch`,
    );
  if (!(eps > 0)) throw new ConfigError(`batchnorm: expected eps > 0, got ${eps}`);
  if (!(momentum >= 0 && momentum <= 1))
    throw new ConfigError(`batchnorm: expected momentum from 0 to 1, got ${momentum}`);
  return [N, C, H * W];
}

/**
 * Cuts each channel's work into splits: enough for about `groups` workgroups in all, each thread keeping at least
 * `least` quads (planes) or rows (columns).
 */
function cut(planes: boolean, N: number, C: number, P: number, { groups, least }: { groups: number; least: number }) {
  const tiles = planes ? 1 : Math.ceil((C * P) / threads);
  const length = planes ? (N * P) / 4 : N;
  const most = Math.floor(length / (planes ? least * threads : least));
  const wanted = Math.ceil(groups / (planes ? C : tiles));
  const step = planes ? threads : 1; // a split begins where the threads' stride does
  const chunk = Math.ceil(length / Math.max(1, Math.min(wanted, most)) / step) * step;
  const splits = Math.ceil(length / chunk);
  const width = planes ? 1 : P;
  return {
    params: { splits, chunk, tiles, width, partials: splits * width },
    workgroups: planes ? ([C, splits, 1] as const) : tiles * splits,
  };
}
