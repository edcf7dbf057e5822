import { conv, convNorm, depthwiseConv } from '../nn/blocks.js';
import { type Module, sequential } from '../nn/module.js';
import { globalAveragePool } from '../ops/pool.js';
import type { Channels } from '../parameters.js';

/** Output channels at width 1, and stride, of a depthwise-separable block. */
export type Block = readonly [channels: number, stride: number];

/** The 13 blocks of MobileNet-V1 (Howard et al., 2017). */
export const mobilenetV1Blocks: readonly Block[] = [
  [64, 1],
  [128, 2],
  [128, 1],
  [256, 2],
  [256, 1],
  [512, 2],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [512, 1],
  [1024, 2],
  [1024, 1],
];

/** A backbone: pictures (N, 3, H, W) to features (N, `features`). */
export interface Encoder extends Module {
  readonly features: Channels;
  /** The factor by which it shrinks a picture: smaller pictures are refused. */
  readonly stride: number;
}

export interface MobilenetV1Options {
  /** Width of the slim encoder against the published network. */
  width?: number;
  /** K: how many times as wide the host is. */
  ratio?: number;
  /** Stride of the first convolution: 2 for large pictures, 1 for 32 pixels. */
  stemStride?: number;
  blocks?: readonly Block[];
}

/** MobileNet-V1, ReLU. A width of w at ratio K has int(channels · w) channels in the slim encoder, int(channels · w · K) in the host. */
export function mobilenetV1({
  width = 1,
  ratio = 1,
  stemStride = 2,
  blocks = mobilenetV1Blocks,
}: MobilenetV1Options = {}): Encoder {
  const scale = (channels: number): Channels => ({
    slim: Math.max(1, Math.floor(channels * width)),
    host: Math.max(1, Math.floor(channels * width * ratio)),
  });
  let input = scale(32);
  const stem = conv('features.0.0', { host: 3, slim: 3 }, input, { kernelSize: 3, stride: stemStride });
  const modules = [convNorm(stem, 'features.0.1', input)];
  blocks.forEach(([channels, stride], i) => {
    const name = `features.${i + 1}.block`;
    const output = scale(channels);
    modules.push(convNorm(depthwiseConv(`${name}.0.0`, input, { stride }), `${name}.0.1`, input));
    modules.push(convNorm(conv(`${name}.1.0`, input, output), `${name}.1.1`, output));
    input = output;
  });
  const { parameters, statistics, forward } = sequential(...modules);
  return {
    parameters,
    statistics,
    features: input,
    stride: blocks.reduce((product, [, stride]) => product * stride, stemStride),
    forward: (pass, x) => globalAveragePool(pass.tape, forward(pass, x)),
  };
}
