// What is recorded by options: ops, losses, optimizers, and the modules that record them.

import { Parameters, parameter } from '../../src/core/parameters.js';
import { Tape } from '../../src/core/tape.js';
import { batchNormLayer, convBatchNorm, convLayer, depthwiseLayer } from '../../src/nn/blocks.js';
import { invertedResidual } from '../../src/nn/inverted_residual.js';
import { mlp } from '../../src/nn/mlp.js';
import { residual } from '../../src/nn/residual.js';
import { squeezeExcite } from '../../src/nn/squeeze_excite.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { crossCorrelation, crossCorrelationLoss, standardize } from '../../src/ops/cross_correlation.js';
import { depthwise } from '../../src/ops/depthwise.js';
import { matmul, matmulInto } from '../../src/ops/matmul.js';
import { nearestNeighborTargets } from '../../src/ops/nearest_neighbors.js';
import { averagePool, maxPool } from '../../src/ops/pool.js';
import { mean, sum } from '../../src/ops/reduce.js';
import { sinkhorn } from '../../src/ops/sinkhorn.js';
import { softmax, softmaxCrossEntropy } from '../../src/ops/softmax.js';
import { squaredDistance } from '../../src/ops/squared_distance.js';
import { adamw } from '../../src/optim/adamw.js';
import { ema } from '../../src/optim/ema.js';
import { lars } from '../../src/optim/lars.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Plan } from '../../src/runtime/plan.js';
import { selectView, type Tensor, transient } from '../../src/tensor/tensor.js';
import {
  above,
  above0,
  activation,
  below,
  callback,
  channels,
  type Door,
  flag,
  given,
  number,
  object,
  oneOf,
  whole,
} from './door.js';

const a = (plan: Plan, ...shape: number[]): Tensor => transient(plan, 'x', shape);
const tapeOf = (plan: Plan) => new Tape(plan);
const convOptions = { stride: whole(1), padding: whole(0) };
const moduleOptions = { ...convOptions, kernelSize: whole(1) };
const normOptions = { activation, momentum: number(0, 1), eps: above(0) };
const loss = { lambda: number(0), scale: number(0), form: oneOf('gram', 'direct'), panelRows: number(0) };

export const recorded: Readonly<Record<string, Door>> = {
  conv2d: {
    where: /^conv2d: /,
    options: convOptions,
    call: ({ plan }, options) => conv2d(tapeOf(plan), a(plan, 2, 4, 6, 6), a(plan, 5, 4, 3, 3), options),
  },
  depthwise: {
    where: /^depthwise: /,
    options: convOptions,
    call: ({ plan }, options) => depthwise(tapeOf(plan), a(plan, 2, 4, 6, 6), a(plan, 4, 1, 3, 3), options),
  },
  averagePool: {
    where: /^averagePool: /,
    options: { kernelSize: whole(1), stride: whole(1) },
    call: ({ plan }, options) =>
      averagePool(tapeOf(plan), a(plan, 2, 4, 6, 6), given(options, { kernelSize: 2 }) as never),
  },
  maxPool: {
    where: /^maxPool: /,
    options: { kernelSize: whole(1), stride: whole(1), padding: whole(0) },
    call: ({ plan }, options) => maxPool(tapeOf(plan), a(plan, 2, 4, 6, 6), given(options, { kernelSize: 2 }) as never),
  },
  matmul: {
    where: /^matmul: /,
    options: { transposeA: flag, transposeB: flag },
    call: ({ plan }, options) => matmul(tapeOf(plan), a(plan, 4, 4), a(plan, 4, 4), options),
  },
  matmulInto: {
    where: /^matmul: /,
    options: { transposeA: flag, transposeB: flag, scale: number(), accumulate: flag },
    call: ({ plan }, options) =>
      matmulInto(plan, given(options, { a: a(plan, 4, 4), b: a(plan, 4, 4), out: a(plan, 4, 4) }) as never),
  },
  sum: {
    where: /^sum: /,
    options: { dim: whole(-2, 1), keepdim: flag },
    call: ({ plan }, options) => sum(tapeOf(plan), a(plan, 4, 6), options),
  },
  mean: {
    where: /^mean: /,
    options: { dim: whole(-2, 1), keepdim: flag },
    call: ({ plan }, options) => mean(tapeOf(plan), a(plan, 4, 6), options),
  },
  softmax: {
    where: /^softmax: /,
    options: { temperature: above0 },
    call: ({ plan }, options) => softmax(tapeOf(plan), a(plan, 4, 6), options),
  },
  softmaxCrossEntropy: {
    where: /^softmaxCrossEntropy: /,
    options: { temperature: above0, scale: number() },
    call: ({ plan }, options) => softmaxCrossEntropy(tapeOf(plan), a(plan, 4, 6), undefined, options),
  },
  sinkhorn: {
    where: /^sinkhorn: /,
    options: { iterations: whole(1), epsilon: above0 },
    call: ({ plan }, options) => sinkhorn(plan, a(plan, 4, 6), options),
  },
  squaredDistance: {
    where: /^squaredDistance: /,
    options: { scale: number() },
    call: ({ plan }, options) => squaredDistance(tapeOf(plan), a(plan, 4, 6), a(plan, 4, 6), options),
  },
  nearestNeighborTargets: {
    where: /^nearestNeighborTargets: /,
    options: { count: whole(1) },
    call: ({ plan }, options) => nearestNeighborTargets(plan, a(plan, 4, 6), options),
  },
  batchnorm: {
    where: /^batchnorm: /,
    options: { ...normOptions, training: flag, updateStats: flag },
    call: ({ plan }, options) => {
      const [gamma, beta, runningMean, runningVar] = [0, 1, 2, 3].map(() => a(plan, 4));
      return batchnorm(tapeOf(plan), a(plan, 6, 4), { gamma, beta, runningMean, runningVar }, options);
    },
  },
  standardize: {
    where: /^standardize: /,
    options: { eps: number(0) },
    call: ({ plan }, options) => standardize(plan, a(plan, 6, 4), options),
  },
  crossCorrelation: {
    where: /^(crossCorrelation|crossCorrelationLoss|standardize): /,
    options: { ...loss, eps: number(0) },
    call: ({ plan }, options) => crossCorrelation(tapeOf(plan), a(plan, 6, 4), a(plan, 6, 4), options),
  },
  crossCorrelationLoss: {
    where: /^crossCorrelationLoss: /,
    options: loss,
    call: ({ plan }, options) => {
      const [u, v] = [standardize(plan, a(plan, 6, 4)), standardize(plan, a(plan, 6, 4))];
      crossCorrelationLoss(plan, [{ u, v }], [], a(plan, 1, 4), options);
    },
  },
  keep: {
    where: /^selectView: /,
    options: { rows: object, columns: object },
    call: ({ plan }, options) => selectView(a(plan, 4, 6), [4, 6], options),
  },
  conv: { where: /^c: /, options: moduleOptions, call: (_, options) => convLayer('c', channels, channels, options) },
  depthwiseLayer: {
    where: /^c: /,
    options: moduleOptions,
    call: (_, options) => depthwiseLayer('c', channels, options),
  },
  norm: { where: /^n: /, options: normOptions, call: (_, options) => batchNormLayer('n', channels, options) },
  convBatchNorm: {
    where: /^n: /,
    options: normOptions,
    call: (_, options) => convBatchNorm(convLayer('c', channels, channels), 'n', channels, options),
  },
  invertedResidual: {
    where: /^b/,
    options: { kernelSize: whole(1), stride: whole(1), norm: object, squeeze: callback },
    call: (_, options) =>
      invertedResidual(
        'b',
        channels,
        channels,
        channels,
        given(options, {
          kernelSize: 3,
          stride: 1,
          norm: {},
        }) as never,
      ),
  },
  mlp: {
    where: /^m/,
    options: { hidden: whole(1), output: whole(1), batchnorm: flag },
    call: (_, options) => mlp('m', channels, given(options, { hidden: 4, output: 4 }) as never),
  },
  residual: {
    where: /^residual: /,
    options: { shortcut: object, activation },
    call: (_, options) => residual(convLayer('c', channels, channels), options),
  },
  squeezeExcite: {
    where: /^s: /,
    options: { activation, gate: activation },
    call: (_, options) =>
      squeezeExcite('s', channels, channels, given(options, { activation: 'relu', gate: 'sigmoid' }) as never),
  },
  sgd: {
    where: /^sgd: /,
    options: { momentum: below(1), weightDecay: number(0), nesterov: flag, decayAll: flag },
    call: ({ plan, parameters }, options) => sgd(plan, parameters, options).dispose(),
  },
  lars: {
    where: /^lars: /,
    options: { momentum: below(1), weightDecay: number(0), trust: number(0), clip: flag },
    call: ({ plan, parameters }, options) => lars(plan, parameters, options).dispose(),
  },
  adamw: {
    where: /^adamw: /,
    options: { beta1: below(1), beta2: below(1), eps: number(0), weightDecay: number(0), decayAll: flag },
    call: ({ plan, parameters }, options) => adamw(plan, parameters, options).dispose(),
  },
  ema: {
    where: /^ema: /,
    options: { momentum: below(1) },
    call: ({ plan, device, parameters }, options) => {
      using target = new Parameters(device, [parameter('w', [4, 4], () => 1)], []);
      ema(plan, target, parameters, options);
    },
  },
};
