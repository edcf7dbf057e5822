// The layers of encoders and heads: convolutions, batchnorm, linear.
import { expectOptions, type Kinds } from '../checks/options.js';
import { expectChannels } from '../core/parameter.js';
import { type Channels, type Dim, parameter } from '../core/parameters.js';
import { ShapeError } from '../errors.js';
import { type BatchNormOptions, batchnorm, checkNorm } from '../ops/batchnorm.js';
import { type ConvOptions, checkMoves, conv2d, convOptions } from '../ops/conv2d.js';
import { depthwise } from '../ops/depthwise.js';
import { linear } from '../ops/linear.js';
import { constant, kaimingNormal, uniformFanIn } from './init.js';
import { type Module, sequential } from './module.js';

/** As for `conv2d`, but padding defaults to half the kernel size. */
export interface ConvLayerOptions extends ConvOptions {
  /** K, the kernel size; default 1, for a depthwise convolution 3. */
  kernelSize?: number;
}

const moduleOptions: Kinds<ConvLayerOptions> = { ...convOptions, kernelSize: 'number' };

/** Kernel size, stride and padding, checked. */
function windowOf(name: string, options: ConvLayerOptions, standard: number) {
  const { kernelSize: K = standard, stride = 1, padding } = expectOptions(name, options, moduleOptions);
  if (!(Number.isInteger(K) && K >= 1))
    throw new ShapeError(`${name}: expected a whole kernelSize of at least 1, got ${K}`);
  const window = { K, stride, padding: padding ?? Math.floor(K / 2) };
  checkMoves(name, stride, window.padding);
  return window;
}

/** A convolution without bias, weight (O, I, k, k) under `name`.weight. The slim encoder uses a slice of it. */
export function convLayer(name: string, input: Channels, output: Channels, options: ConvLayerOptions = {}): Module {
  const { K, stride, padding } = windowOf(name, options, 1);
  expectChannels(name, output);
  const weight = `${name}.weight`;
  return {
    parameters: [
      { ...parameter(weight, [output, input, K, K], kaimingNormal(output.host * K * K)), makesChannels: true },
    ],
    statistics: [],
    forward: ({ tape, parameters, width }, x) => conv2d(tape, x, parameters.tensor(weight, width), { stride, padding }),
  };
}

/** A depthwise convolution, weight (C, 1, k, k) under `name`.weight. */
export function depthwiseLayer(name: string, channels: Channels, options: ConvLayerOptions = {}): Module {
  const { K, stride, padding } = windowOf(name, options, 3);
  const weight = `${name}.weight`;
  return {
    parameters: [parameter(weight, [channels, 1, K, K], kaimingNormal(K * K))],
    statistics: [],
    forward: ({ tape, parameters, width }, x) =>
      depthwise(tape, x, parameters.tensor(weight, width), { stride, padding }),
  };
}

export type BatchNormLayerOptions = Pick<BatchNormOptions, 'activation' | 'momentum' | 'eps'>;

const normOptions: Kinds<BatchNormLayerOptions> = { activation: 'string', momentum: 'number', eps: 'number' };

/** Fused batchnorm and activation. The network's `bn` setting decides what host and slim encoder share. */
export function batchNormLayer(name: string, channels: Channels, options: BatchNormLayerOptions = {}): Module {
  checkNorm(name, expectOptions(name, options, normOptions));
  const [weight, bias] = [`${name}.weight`, `${name}.bias`];
  const [mean, variance] = [`${name}.running_mean`, `${name}.running_var`];
  return {
    parameters: [
      { ...parameter(weight, [channels], constant(1)), affine: true },
      { ...parameter(bias, [channels], constant(0)), affine: true },
    ],
    statistics: [
      { name: mean, channels, init: 0 },
      { name: variance, channels, init: 1 },
    ],
    forward: ({ tape, parameters, width, training, updateStats, momentum }, x) =>
      batchnorm(
        tape,
        x,
        {
          gamma: parameters.tensor(weight, width),
          beta: parameters.tensor(bias, width),
          runningMean: parameters.statistic(mean, width),
          runningVar: parameters.statistic(variance, width),
        },
        { training, updateStats, ...options, ...(momentum !== undefined && { momentum }) },
      ),
  };
}

/** A fully connected layer, weight (O, I) and bias (O). */
export function linearLayer(name: string, input: Channels, output: Dim): Module {
  const [weight, bias] = [`${name}.weight`, `${name}.bias`];
  expectChannels(name, input);
  const init = uniformFanIn(input.host);
  return {
    parameters: [parameter(weight, [output, input], init), parameter(bias, [output], init)],
    statistics: [],
    forward: ({ tape, parameters, width }, x) =>
      linear(tape, x, parameters.tensor(weight, width), parameters.tensor(bias, width)),
  };
}

/** Convolution, batchnorm, activation (default ReLU). */
export function convBatchNorm(
  conv: Module,
  name: string,
  channels: Channels,
  options: BatchNormLayerOptions = {},
): Module {
  expectOptions(name, options, normOptions);
  return sequential(conv, batchNormLayer(name, channels, { activation: 'relu', ...options }));
}
