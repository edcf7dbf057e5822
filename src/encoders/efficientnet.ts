import { expectOptions } from '../checks/options.js';
import type { Channels } from '../core/parameters.js';
import { convBatchNorm, convLayer } from '../nn/blocks.js';
import { invertedResidual } from '../nn/inverted_residual.js';
import { sequential } from '../nn/module.js';
import { squeezeExcite } from '../nn/squeeze_excite.js';
import {
  type Encoder,
  type EncoderOptions,
  encoderOptions,
  makeDivisible,
  mapChannels,
  pooledEncoder,
  rgb,
  widthMultiplier,
} from './encoder.js';

/** Expansion, kernel size, stride of the first block, output channels, blocks. */
type Stage = readonly [number, number, number, number, number];

/** The stages of EfficientNet-B0 (Tan and Le, 2019). */
const stages: readonly Stage[] = [
  [1, 3, 1, 16, 1],
  [6, 3, 2, 24, 2],
  [6, 5, 2, 40, 2],
  [6, 3, 2, 80, 3],
  [6, 5, 1, 112, 3],
  [6, 5, 2, 192, 4],
  [6, 3, 1, 320, 1],
];

/** EfficientNet-B0 without its classifier, and without drop-connect: 1280 features at width 1. Names are torchvision's. */
export function efficientnetB0(options: EncoderOptions = {}): Encoder {
  const { stemStride = 2 } = expectOptions('efficientnetB0', options, encoderOptions);
  const scale = widthMultiplier(options, makeDivisible);
  const norm = { activation: 'silu' } as const;
  let input = scale(32);
  const stem = convLayer('features.0.0', rgb, input, { kernelSize: 3, stride: stemStride });
  const modules = [convBatchNorm(stem, 'features.0.1', input, norm)];
  stages.forEach(([expansion, kernelSize, first, channels, blocks], stage) => {
    for (let i = 0; i < blocks; i++) {
      const stride = i === 0 ? first : 1;
      const expanded = expansion === 1 ? input : mapChannels(input, (c) => makeDivisible(c * expansion));
      const output = i > 0 ? input : scale(channels);
      const squeezed = mapChannels(input, (c) => Math.max(1, Math.floor(c / 4)));
      const squeeze = (name: string, channels: Channels) =>
        squeezeExcite(name, channels, squeezed, { activation: 'silu', gate: 'sigmoid' });
      const block = { kernelSize, stride, norm, squeeze };
      modules.push(invertedResidual(`features.${stage + 1}.${i}.block`, input, expanded, output, block));
      input = output;
    }
  });
  const last = `features.${stages.length + 1}`;
  const features = mapChannels(input, (c) => 4 * c);
  modules.push(convBatchNorm(convLayer(`${last}.0`, input, features), `${last}.1`, features, norm));
  return pooledEncoder(sequential(...modules), features, 16 * stemStride);
}
