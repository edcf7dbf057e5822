// Encoders: modules from images to features, in two widths; and helpers shared by all families.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { expectWithin } from '../checks/range.js';
import { textOf } from '../checks/text_of.js';
import { expectChannels } from '../core/parameter.js';
import type { Channels, Dim, ParameterView } from '../core/parameters.js';
import { ConfigError, ShapeError } from '../errors.js';
import { expectModule, type Module } from '../nn/module.js';
import { globalAveragePool } from '../ops/pool.js';
import { shapeText } from '../tensor/tensor.js';

/** A backbone: images (N, 3, H, W) to features (N, `features`). */
export interface Encoder extends Module {
  readonly features: Channels;
  /** The total stride: smaller images are rejected. */
  readonly stride: number;
  /** Hidden layers of the published network's classifier: not part of the encoder, but of published parameter counts. */
  readonly hidden?: readonly Channels[];
}

/** @throws ConfigError, in the name of `what`, if it is not an encoder */
export function checkEncoder(what: string, encoder: unknown): void {
  const { forward, features, stride, parameters, statistics } = Object(encoder) as Partial<Encoder>;
  const isModule = typeof forward === 'function' && Array.isArray(parameters) && Array.isArray(statistics);
  if (isModule && Number.isInteger(features?.host) && Number.isInteger(features?.slim) && Number(stride) >= 1) return;
  throw new ConfigError(
    `${what}: expected an encoder, a module with features and stride, got ${textOf(encoder)}; ` +
      'mobilenetV1() makes one, and files hold one as { encoder, state, imageSize }',
  );
}

/** Options of every encoder. */
export interface EncoderOptions {
  /** Width multiplier of the slim encoder relative to the published network; default 1. */
  width?: number;
  /** K: width of the host relative to the slim encoder; default 1. */
  ratio?: number;
  /** Stride of the first convolution: 2 for large images, 1 for 32 pixels. */
  stemStride?: number;
}

export const encoderOptions: Kinds<EncoderOptions> = { width: 'number', ratio: 'number', stemStride: 'number' };

/**
 * Checks that an encoder has a single width.
 *
 * @throws ConfigError naming what has two
 */
export function checkOneWidth({ parameters, features }: Encoder): void {
  const wider = parameters.find(({ shape, slim }) => shapeText(shape) !== shapeText(slim));
  if (!wider && features.host === features.slim) return;
  const what = wider
    ? `${wider.name} ${shapeText(wider.shape)} in the host and ${shapeText(wider.slim)} in the slim one`
    : `${features.host} features of the host and ${features.slim} of the slim one`;
  throw new ConfigError(
    `encoder: expected one width, for the method slices no host, got ${what}; make it with ratio 1`,
  );
}

/** Red, green and blue. */
export const rgb: Channels = { host: 3, slim: 3 };

/**
 * Groups of channels from the published network's: times the width, rounded. Each call returns a new group.
 *
 * @throws ConfigError if an option is out of range, such as a slim encoder wider than its host
 */
export function widthMultiplier(
  options: EncoderOptions,
  round: (channels: number) => number,
): (channels: number) => Channels {
  const { width = 1, ratio = 1, stemStride = 2 } = expectOptions('encoder', options, encoderOptions);
  if (typeof round !== 'function')
    throw new ConfigError(`encoder: expected a function that rounds channels, as makeDivisible, got ${textOf(round)}`);
  const refuse = (option: string, expected: string, got: number): never => {
    throw new ConfigError(`encoder: expected ${option} ${expected}, got ${got}`);
  };
  if (!(width > 0 && width < Number.POSITIVE_INFINITY)) refuse('width', 'above 0', width);
  if (!(ratio >= 1 && ratio < Number.POSITIVE_INFINITY))
    refuse('ratio', 'of at least 1, for the slim encoder is a slice of the host', ratio);
  if (stemStride !== 1 && stemStride !== 2) refuse('stemStride', '1 or 2', stemStride);
  return (channels) => ({ slim: round(channels * width), host: round(channels * width * ratio) });
}

/** A new group, with the same mapping applied to both widths. */
export function mapChannels(channels: Channels, rule: (channels: number) => number): Channels {
  expectChannels('mapChannels', channels);
  return { host: rule(channels.host), slim: rule(channels.slim) };
}

/** The nearest multiple of 8, but at most 10 % below: torchvision's rounding of widths. */
export function makeDivisible(channels: number): number {
  const rounded = Math.max(8, Math.floor((channels + 4) / 8) * 8);
  return rounded < 0.9 * channels ? rounded + 8 : rounded;
}

/** An encoder with the feature maps of `body`, averaged over pixels. */
export function pooledEncoder(body: Module, features: Channels, stride: number, hidden?: readonly Channels[]): Encoder {
  expectModule('pooledEncoder', body);
  for (const channels of [features, ...(hidden ?? [])]) expectChannels('pooledEncoder', channels);
  expectWithin('pooledEncoder', 'stride', stride, { min: 1, whole: true });
  const { parameters, statistics } = body;
  return {
    parameters,
    statistics,
    features,
    stride,
    ...(hidden && { hidden }),
    forward(pass, x) {
      expectArguments('encoder', { tape: pass?.tape, x });
      const [, color, H, W] = x.shape;
      if (x.shape.length !== 4 || color !== rgb.host || !(Math.min(H, W) >= stride))
        throw new ShapeError(
          `encoder: expected images (N, 3, H, W) of at least ${stride} pixels a side, got ${shapeText(x.shape)}`,
        );
      return globalAveragePool(pass.tape, body.forward(pass, x));
    },
  };
}

/**
 * The standalone slim encoder: a network of one width, with the slim shapes, that computes what `encoder` does at that width.
 * Shared groups of channels stay shared. Initial values are drawn as for the host; load existing weights, such as those of
 * `Trainer.encoderState('slim')`.
 */
export function slimOf(encoder: Encoder): Encoder {
  checkEncoder('slimOf', encoder);
  const groups = new Map<Channels, Channels>();
  const alone = (channels: Channels): Channels => {
    const group = groups.get(channels) ?? mapChannels(channels, () => channels.slim);
    groups.set(channels, group);
    return group;
  };
  const side = (of: Dim) => (typeof of === 'number' ? of : alone(of));
  return {
    ...encoder,
    parameters: encoder.parameters.map((own) => ({ ...own, dims: own.dims.map(side), shape: own.slim })),
    statistics: encoder.statistics.map((own) => ({ ...own, channels: alone(own.channels) })),
    features: alone(encoder.features),
    ...(encoder.hidden && { hidden: encoder.hidden.map(alone) }),
    forward({ parameters, width, ...pass }, x) {
      // the encoder requests channels and tensors at its slim width, the only width here
      const weights: ParameterView = {
        tensor: (name) => parameters.tensor(name, width),
        statistic: (name) => parameters.statistic(name, width),
      };
      return encoder.forward({ ...pass, parameters: weights, width: 'slim' }, x);
    },
  };
}
