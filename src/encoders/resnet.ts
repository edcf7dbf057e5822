// ResNet-18, -50, -101 (version 1.5) and the CIFAR ResNet-20: a table of architectures and a loop.
import { expectOptions } from '../checks/options.js';
import type { Channels } from '../core/parameters.js';
import { convBatchNorm, convLayer } from '../nn/blocks.js';
import { type Module, sequential } from '../nn/module.js';
import { residual } from '../nn/residual.js';
import { maxPool } from '../ops/pool.js';
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

/** A block without its shortcut, from `input` to `output`; `inner()` returns the groups of channels between its convolutions. */
type Body = (name: string, input: Channels, inner: () => Channels, output: Channels, stride: number) => Module;

interface Architecture {
  readonly body: Body;
  /** Ratio of the output channels of a block to those of its inner convolutions. */
  readonly expansion: number;
  /** Inner channels and blocks of each stage; all stages except the first halve height and width. */
  readonly stages: readonly (readonly [channels: number, blocks: number])[];
  /** Kernel size of the first convolution. */
  readonly stem: number;
}

const none = { activation: 'none' } as const;

const basic: Body = (name, input, inner, output, stride) => {
  const channels = inner();
  return sequential(
    convBatchNorm(convLayer(`${name}.conv1`, input, channels, { kernelSize: 3, stride }), `${name}.bn1`, channels),
    convBatchNorm(convLayer(`${name}.conv2`, channels, output, { kernelSize: 3 }), `${name}.bn2`, output, none),
  );
};

/** Version 1.5: the stride is the 3x3 convolution's. */
const bottleneck: Body = (name, input, inner, output, stride) => {
  const [first, second] = [inner(), inner()];
  return sequential(
    convBatchNorm(convLayer(`${name}.conv1`, input, first), `${name}.bn1`, first),
    convBatchNorm(convLayer(`${name}.conv2`, first, second, { kernelSize: 3, stride }), `${name}.bn2`, second),
    convBatchNorm(convLayer(`${name}.conv3`, second, output), `${name}.bn3`, output, none),
  );
};

const staged = (...blocks: readonly number[]) => blocks.map((count, stage) => [64 * 2 ** stage, count] as const);

const architectures = {
  resnet18: { body: basic, expansion: 1, stages: staged(2, 2, 2, 2), stem: 7 },
  resnet50: { body: bottleneck, expansion: 4, stages: staged(3, 4, 6, 3), stem: 7 },
  resnet101: { body: bottleneck, expansion: 4, stages: staged(3, 4, 23, 3), stem: 7 },
  resnet20: {
    body: basic,
    expansion: 1,
    stages: [
      [16, 3],
      [32, 3],
      [64, 3],
    ],
    stem: 3,
  },
} as const satisfies Record<string, Architecture>;

/** ResNet-18 (He et al., 2016) without its classifier: 512 features at width 1. Names are torchvision's. */
export const resnet18 = (options: EncoderOptions = {}): Encoder => resnet(architectures.resnet18, options);

/** ResNet-50, version 1.5, without its classifier: 2048 features at width 1. Names are torchvision's. */
export const resnet50 = (options: EncoderOptions = {}): Encoder => resnet(architectures.resnet50, options);

/** ResNet-101, version 1.5, without its classifier: 2048 features at width 1. Names are torchvision's. */
export const resnet101 = (options: EncoderOptions = {}): Encoder => resnet(architectures.resnet101, options);

/** ResNet-20 for 32-pixel images, shortcuts by 1x1 convolution: 64 features at width 1. */
export const resnet20 = (options: EncoderOptions = {}): Encoder => resnet(architectures.resnet20, options);

/** A 7x7 stem of stride 2 is followed by max-pooling; one of stride 1, for small images, is not. */
function resnet({ body, expansion, stages, stem }: Architecture, options: EncoderOptions): Encoder {
  const { stemStride = stem === 7 ? 2 : 1 } = expectOptions('resnet', options, encoderOptions);
  const scale = widthMultiplier(options, makeDivisible);
  let from: number = stages[0][0];
  let input = scale(from);
  const first = convLayer('conv1', rgb, input, { kernelSize: stem, stride: stemStride });
  const modules = [convBatchNorm(first, 'bn1', input)];
  const pools = stem === 7 && stemStride === 2;
  if (pools) modules.push(halving);
  stages.forEach(([channels, blocks], stage) => {
    const inner = () => scale(channels);
    for (let i = 0; i < blocks; i++) {
      const name = `layer${stage + 1}.${i}`;
      const stride = stage > 0 && i === 0 ? 2 : 1;
      const keeps = stride === 1 && expansion * channels === from;
      const output = keeps ? input : mapChannels(inner(), (c) => expansion * c);
      const projection = () => convLayer(`${name}.downsample.0`, input, output, { stride });
      modules.push(
        residual(body(name, input, inner, output, stride), {
          activation: 'relu',
          ...(!keeps && { shortcut: convBatchNorm(projection(), `${name}.downsample.1`, output, none) }),
        }),
      );
      from = expansion * channels;
      input = output;
    }
  });
  return pooledEncoder(sequential(...modules), input, stemStride * (pools ? 2 : 1) * 2 ** (stages.length - 1));
}

const halving: Module = {
  parameters: [],
  statistics: [],
  forward: ({ tape }, x) => maxPool(tape, x, { kernelSize: 3, stride: 2, padding: 1 }),
};
