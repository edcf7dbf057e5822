import type { Module } from '../nn/module.js';
import { globalAveragePool } from '../ops/pool.js';
import type { Channels } from '../parameters.js';

/** A backbone: pictures (N, 3, H, W) to features (N, `features`). */
export interface Encoder extends Module {
  readonly features: Channels;
  /** The factor by which it shrinks a picture: smaller pictures are refused. */
  readonly stride: number;
}

/** What every encoder can be asked for. */
export interface EncoderOptions {
  /** Width of the slim encoder against the published network. */
  width?: number;
  /** K: how many times as wide the host is. */
  ratio?: number;
  /** Stride of the first convolution: 2 for large pictures, 1 for 32 pixels. */
  stemStride?: number;
}

/** Channels of a layer in both encoders, from those of the published network: times the width, rounded. */
export function scaling({ width = 1, ratio = 1 }: EncoderOptions, round: (channels: number) => number) {
  return (channels: number): Channels => ({ slim: round(channels * width), host: round(channels * width * ratio) });
}

/** The same rule for either encoder. */
export function both(channels: Channels, rule: (channels: number) => number): Channels {
  return { host: rule(channels.host), slim: rule(channels.slim) };
}

/** The nearest multiple of 8, but never more than a tenth below: torchvision's rounding of widths. */
export function multipleOf8(channels: number): number {
  const rounded = Math.max(8, Math.floor((channels + 4) / 8) * 8);
  return rounded < 0.9 * channels ? rounded + 8 : rounded;
}

/** The encoder whose feature maps `body` makes: their means over the pixels are the features. */
export function pooled(body: Module, features: Channels, stride: number): Encoder {
  const { parameters, statistics } = body;
  const forward: Module['forward'] = (pass, x) => globalAveragePool(pass.tape, body.forward(pass, x));
  return { parameters, statistics, features, stride, forward };
}
