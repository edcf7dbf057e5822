// MobileNet-V3-Large: a table of blocks and a loop.
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

/** Kernel size, expanded channels, output channels, squeeze-excite?, activation, stride. */
type Row = readonly [number, number, number, boolean, 'relu' | 'hardswish', number];

/** The blocks of MobileNet-V3-Large (Howard et al., 2019). */
const rows: readonly Row[] = [
  [3, 16, 16, false, 'relu', 1],
  [3, 64, 24, false, 'relu', 2],
  [3, 72, 24, false, 'relu', 1],
  [5, 72, 40, true, 'relu', 2],
  [5, 120, 40, true, 'relu', 1],
  [5, 120, 40, true, 'relu', 1],
  [3, 240, 80, false, 'hardswish', 2],
  [3, 200, 80, false, 'hardswish', 1],
  [3, 184, 80, false, 'hardswish', 1],
  [3, 184, 80, false, 'hardswish', 1],
  [3, 480, 112, true, 'hardswish', 1],
  [3, 672, 112, true, 'hardswish', 1],
  [5, 672, 160, true, 'hardswish', 2],
  [5, 960, 160, true, 'hardswish', 1],
  [5, 960, 160, true, 'hardswish', 1],
];

/** MobileNet-V3-Large without its classifier: 960 features at width 1. Names are torchvision's. */
export function mobilenetV3Large(options: EncoderOptions = {}): Encoder {
  const { stemStride = 2 } = expectOptions('mobilenetV3Large', options, encoderOptions);
  const scale = widthMultiplier(options, makeDivisible);
  const norm = { eps: 1e-3, momentum: 0.01 };
  const hardswish = { ...norm, activation: 'hardswish' } as const;
  const squeeze = (name: string, channels: Channels) => {
    const squeezed = mapChannels(channels, (c) => makeDivisible(Math.floor(c / 4)));
    return squeezeExcite(name, channels, squeezed, { activation: 'relu', gate: 'hardsigmoid' });
  };
  let from = 16;
  let input = scale(from);
  const stem = convLayer('features.0.0', rgb, input, { kernelSize: 3, stride: stemStride });
  const modules = [convBatchNorm(stem, 'features.0.1', input, hardswish)];
  rows.forEach(([kernelSize, expansion, channels, squeezes, activation, stride], i) => {
    const expanded = expansion === from ? input : scale(expansion);
    const output = stride === 1 && channels === from ? input : scale(channels);
    const block = { kernelSize, stride, norm: { ...norm, activation }, ...(squeezes && { squeeze }) };
    modules.push(invertedResidual(`features.${i + 1}.block`, input, expanded, output, block));
    from = channels;
    input = output;
  });
  const last = `features.${rows.length + 1}`;
  const features = mapChannels(input, (c) => 6 * c);
  modules.push(convBatchNorm(convLayer(`${last}.0`, input, features), `${last}.1`, features, hardswish));
  return pooledEncoder(sequential(...modules), features, 16 * stemStride, [scale(1280)]);
}
