import { expectOptions, type Kinds } from '../checks/options.js';
import { ConfigError } from '../errors.js';
import { convBatchNorm, convLayer, depthwiseLayer } from '../nn/blocks.js';
import { sequential } from '../nn/module.js';
import { type Encoder, type EncoderOptions, encoderOptions, pooledEncoder, rgb, widthMultiplier } from './encoder.js';

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

export interface MobilenetV1Options extends EncoderOptions {
  blocks?: readonly Block[];
}

const mobilenetOptions: Kinds<MobilenetV1Options> = { ...encoderOptions, blocks: 'array' };

/** MobileNet-V1, ReLU. Width w at ratio K gives int(channels · w) channels in the slim encoder, int(channels · w · K) in the host. */
export function mobilenetV1(options: MobilenetV1Options = {}): Encoder {
  const { blocks = mobilenetV1Blocks, ...sizes } = expectOptions('mobilenetV1', options, mobilenetOptions);
  const { stemStride = 2 } = sizes;
  for (const block of blocks)
    if (!(Array.isArray(block) && block[0] > 0 && Number.isInteger(block[1]) && block[1] >= 1))
      throw new ConfigError(`mobilenetV1: expected blocks of [channels above 0, whole stride], got ${block}`);
  const scale = widthMultiplier(sizes, (channels) => Math.max(1, Math.floor(channels)));
  let input = scale(32);
  const stem = convLayer('features.0.0', rgb, input, { kernelSize: 3, stride: stemStride });
  const modules = [convBatchNorm(stem, 'features.0.1', input)];
  blocks.forEach(([channels, stride], i) => {
    const name = `features.${i + 1}.block`;
    const output = scale(channels);
    modules.push(convBatchNorm(depthwiseLayer(`${name}.0.0`, input, { stride }), `${name}.0.1`, input));
    modules.push(convBatchNorm(convLayer(`${name}.1.0`, input, output), `${name}.1.1`, output));
    input = output;
  });
  return pooledEncoder(
    sequential(...modules),
    input,
    blocks.reduce((product, [, stride]) => product * stride, stemStride),
  );
}
