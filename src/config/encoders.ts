import { efficientnetB0 } from '../encoders/efficientnet.js';
import type { Encoder } from '../encoders/encoder.js';
import { type Block, type MobilenetV1Options, mobilenetV1 } from '../encoders/mobilenet_v1.js';
import { mobilenetV3Large } from '../encoders/mobilenet_v3.js';
import { resnet18, resnet20, resnet50, resnet101 } from '../encoders/resnet.js';
import { ConfigError } from '../errors.js';

/** Every encoder, by the name that settings use. */
export const encoderNames = [
  'mobilenet_v1',
  'mobilenet_v3_large',
  'efficientnet_b0',
  'resnet18',
  'resnet50',
  'resnet101',
  'resnet20',
] as const;

export type EncoderName = (typeof encoderNames)[number];

const encoders: Readonly<Record<EncoderName, (options: MobilenetV1Options) => Encoder>> = {
  mobilenet_v1: mobilenetV1,
  mobilenet_v3_large: mobilenetV3Large,
  efficientnet_b0: efficientnetB0,
  resnet18,
  resnet50,
  resnet101,
  resnet20,
};

/** Everything that is required to rebuild an encoder; part of a run's configuration. */
export interface EncoderSpec {
  readonly encoder: EncoderName;
  /** Width multiplier of the slim encoder relative to the published network. */
  readonly width: number;
  /** K: width of the host relative to the slim encoder. */
  readonly ratio: number;
  readonly stemStride: number;
  /** MobileNet-V1 only; default (null) the published blocks. */
  readonly blocks: readonly Block[] | null;
}

/**
 * The host's backbone; at ratio 1, that of a single encoder.
 *
 * @throws ConfigError if the encoder is unknown, or impossible at this width and ratio
 */
export function backbone({ encoder, width, ratio, stemStride, blocks }: EncoderSpec): Encoder {
  if (!Object.hasOwn(encoders, encoder))
    throw new ConfigError(`encoder: expected one of ${encoderNames.join(', ')}, got ${JSON.stringify(encoder)}`);
  return encoders[encoder]({ width, ratio, stemStride, ...(blocks && { blocks }) });
}
