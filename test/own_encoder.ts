import { type Channels, parameter } from '../src/core/parameters.js';
import type { Encoder } from '../src/encoders/encoder.js';
import { convBatchNorm, convLayer, linearLayer } from '../src/nn/blocks.js';
import { constant } from '../src/nn/init.js';
import { add } from '../src/ops/add.js';
import { narrow } from '../src/ops/copy.js';
import { div, mul, scale, sqrt, square, sub } from '../src/ops/elementwise.js';
import { globalAveragePool } from '../src/ops/pool.js';
import { mean } from '../src/ops/reduce.js';

export interface OwnOptions {
  /** Channels of the convolution, */
  channels: Channels;
  /** and of what it gives. */
  features: Channels;
  /** Before the names of its tensors. */
  name?: string;
}

/**
 * An encoder as a program makes its own, of modules and of ops: convolution, means, normalization over the channels by a gain that
 * is learned, a linear layer. Its forward asks for its sides at the width of the pass, and its names are those of no other.
 */
export function ownEncoder({ channels, features, name = 'own' }: OwnOptions): Encoder {
  const stem = convBatchNorm(
    convLayer(`${name}.stem`, { host: 3, slim: 3 }, channels, { kernelSize: 3, stride: 2 }),
    `${name}.norm`,
    channels,
  );
  const last = linearLayer('fc', channels, features);
  const gain = parameter('gain', [channels], constant(1));
  return {
    parameters: [...stem.parameters, gain, ...last.parameters],
    statistics: stem.statistics,
    features,
    stride: 2,
    forward(pass, x) {
      const { tape, width, parameters } = pass;
      const all = globalAveragePool(tape, stem.forward(pass, x));
      const rows = narrow(tape, all, 1, 0, channels[width]); // all of them
      const centered = sub(tape, rows, mean(tape, rows, { dim: 1, keepdim: true }));
      const variance = mean(tape, square(tape, centered), { dim: 1, keepdim: true });
      const normal = div(tape, centered, sqrt(tape, add(tape, variance, 0.01)));
      const scaled = mul(tape, normal, parameters.tensor('gain', width));
      return last.forward(pass, add(tape, scaled, scale(tape, rows, 0.5)));
    },
  };
}
