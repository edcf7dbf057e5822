// Squeeze-and-excitation (Hu et al., 2018).
import { expectOptions, type Kinds } from '../checks/options.js';
import { expectChannels } from '../core/parameter.js';
import { type Channels, type Parameter, parameter } from '../core/parameters.js';
import { type Activation, activation, checkActivation } from '../ops/activation.js';
import { linear } from '../ops/linear.js';
import { globalAveragePool } from '../ops/pool.js';
import { scaleChannels } from '../ops/scale_channels.js';
import { squeezeKernel } from '../tensor/tensor.js';
import { constant, kaimingNormal } from './init.js';
import type { Module } from './module.js';

export interface SqueezeExciteOptions {
  /** After the first layer. */
  activation: Activation;
  /** After the second layer: maps its output to factors. */
  gate: Activation;
}

const squeezeExciteOptions: Kinds<SqueezeExciteOptions> = { activation: 'string', gate: 'string' };

/**
 * Squeeze and excitation (Hu et al., 2018): scales each channel by a factor that two layers compute from all channel means.
 * The layers are torchvision's 1x1 convolutions `name`.fc1 and `name`.fc2, with biases; here they see (N, C) matrices.
 * `squeezed` are the channels between the two.
 */
export function squeezeExcite(
  name: string,
  channels: Channels,
  squeezed: Channels,
  options: SqueezeExciteOptions,
): Module {
  const { activation: act, gate } = expectOptions(name, options, squeezeExciteOptions);
  checkActivation(`${name}: activation`, act);
  checkActivation(`${name}: gate`, gate);
  return {
    // fc2 does not create channels: it scales existing ones
    parameters: [
      ...convolution(`${name}.fc1`, channels, squeezed, { makesChannels: true }),
      ...convolution(`${name}.fc2`, squeezed, channels),
    ],
    statistics: [],
    forward({ tape, parameters, width }, x) {
      const layer = (layer: string, rows: typeof x) =>
        linear(
          tape,
          rows,
          squeezeKernel(parameters.tensor(`${name}.${layer}.weight`, width)),
          parameters.tensor(`${name}.${layer}.bias`, width),
        );
      const hidden = activation(tape, layer('fc1', globalAveragePool(tape, x)), act);
      return scaleChannels(tape, x, activation(tape, layer('fc2', hidden), gate));
    },
  };
}

function convolution(name: string, input: Channels, output: Channels, { makesChannels = false } = {}): Parameter[] {
  expectChannels(name, output);
  return [
    { ...parameter(`${name}.weight`, [output, input, 1, 1], kaimingNormal(output.host)), makesChannels },
    parameter(`${name}.bias`, [output], constant(0)),
  ];
}
