import { expectOptions, type Kinds } from '../checks/options.js';
import type { Channels } from '../core/parameters.js';
import { ConfigError } from '../errors.js';
import { type BatchNormLayerOptions, convBatchNorm, convLayer, depthwiseLayer } from './blocks.js';
import { type Module, sequential } from './module.js';
import { residual } from './residual.js';

export interface InvertedResidualOptions {
  kernelSize: number;
  stride: number;
  /** For every batchnorm; its activation follows the expansion and the depthwise convolution. */
  norm: BatchNormLayerOptions;
  /** Squeeze-and-excitation of the expanded channels, with the given name. */
  squeeze?: (name: string, channels: Channels) => Module;
}

const blockOptions: Kinds<InvertedResidualOptions> = {
  kernelSize: 'number',
  stride: 'number',
  norm: 'object',
  squeeze: 'function',
};

/**
 * The block of MobileNet-V3 and EfficientNet: expand (1x1), depthwise, squeeze-excite, project (1x1). If output and
 * input channels are the same, the input is added; if `expanded` are the input's channels, there is no expansion. Parts are
 * numbered `name`.0, `name`.1, …
 */
export function invertedResidual(
  name: string,
  input: Channels,
  expanded: Channels,
  output: Channels,
  options: InvertedResidualOptions,
): Module {
  const { kernelSize, stride, norm, squeeze } = expectOptions(name, options, blockOptions);
  if (kernelSize === undefined || stride === undefined)
    throw new ConfigError(`${name}: expected a kernelSize and a stride, got ${kernelSize} and ${stride}`);
  const parts: Module[] = [];
  const next = () => `${name}.${parts.length}`;
  const push = (layer: Module, channels: Channels, options: BatchNormLayerOptions) =>
    parts.push(convBatchNorm(layer, `${next()}.1`, channels, options));
  if (expanded !== input) push(convLayer(`${next()}.0`, input, expanded), expanded, norm);
  push(depthwiseLayer(`${next()}.0`, expanded, { kernelSize, stride }), expanded, norm);
  if (squeeze) parts.push(squeeze(next(), expanded));
  push(convLayer(`${next()}.0`, expanded, output), output, { ...norm, activation: 'none' });
  const body = sequential(...parts);
  return output === input ? residual(body) : body;
}
