// The state of a network's modules, by name and shape: trained parameters and running statistics.

import { textOf } from '../checks/text_of.js';
import { ConfigError, ShapeError } from '../errors.js';
import { shapeText } from '../tensor/tensor.js';

/** Which encoder: the host, which owns the weights, or the slim one, which uses a slice of them. */
export type Width = (typeof widths)[number];

export const widths = ['host', 'slim'] as const;

/**
 * A group of channels, and its size in the host and in the slim encoder. The object is the group: layers that must keep the
 * same channels (a producer and everything tied to it by a depthwise convolution, batchnorm, excitation or residual add) share
 * one object; independent groups have different objects, even when their sizes are equal.
 */
export interface Channels {
  readonly host: number;
  readonly slim: number;
}

/** Draws a number in [0, 1). */
export type Random = () => number;

/** A dimension of a parameter: a group of channels, or a size that both encoders share, such as a kernel's. */
export type Dim = Channels | number;

/** A trainable tensor: its shape in the host, the shape of the slim encoder's slice, and its initialization. */
export interface Parameter {
  readonly name: string;
  /** E.g. (O, I, K, K) of a convolution: the groups of channels that its rows and columns belong to. */
  readonly dims: readonly Dim[];
  /** Shape in the host. */
  readonly shape: readonly number[];
  /** Shape in the slim encoder. */
  readonly slim: readonly number[];
  readonly init: (random: Random) => number;
  /** Whether its rows produce the channels of their group and so determine which are selected: true for convolutions, except depthwise ones. */
  readonly makesChannels?: boolean;
  /** For batchnorm: with `bn: 'private'` the slim encoder has its own tensor. */
  readonly affine?: boolean;
}

/**
 * Declares a parameter.
 *
 * @throws ShapeError where a side is not a whole number of at least 1, or the slim encoder's is longer than the host's
 */
export function parameter(name: string, sides: readonly Dim[], init: (random: Random) => number): Parameter {
  if (!Array.isArray(sides)) throw new ShapeError(`${name}: expected a list of sides, got ${textOf(sides)}`);
  if (typeof init !== 'function')
    throw new ShapeError(`${name}: expected a function that draws first values, got ${textOf(init)}`);
  for (const side of sides) if (typeof side === 'object') expectChannels(name, side);
  const [shape, slim] = widths.map((width) => sides.map((side) => lengthOf(side, width)));
  if (![...shape, ...slim].every((side) => Number.isInteger(side) && side >= 1))
    throw new ShapeError(
      `${name}: expected sides that are whole and at least 1, got ${shapeText(shape)} of the host and ` +
        `${shapeText(slim)} of the slim encoder`,
    );
  if (slim.some((side, d) => side > shape[d]))
    throw new ShapeError(
      `${name}: expected a slim side of at most the host's, got ${shapeText(slim)} of ${shapeText(shape)}`,
    );
  return { name, dims: sides, shape, slim, init };
}

/** @throws ShapeError unless `channels` is { host, slim } */
export function expectChannels(name: string, channels: unknown): void {
  const { host, slim } = Object(channels);
  if (typeof host !== 'number' || typeof slim !== 'number')
    throw new ShapeError(`${name}: expected channels { host, slim }, a number each, got ${textOf(channels)}`);
}

/** The length of a dimension in an encoder. */
export const lengthOf = (side: Dim, width: Width): number => (typeof side === 'object' ? side[width] : side);

/** A tensor with one value per channel that is updated but not trained: a running mean or variance. */
export interface Statistic {
  readonly name: string;
  readonly channels: Channels;
  readonly init: number;
}

/** The tensors of a module. */
export interface ModuleState {
  readonly parameters: readonly Parameter[];
  readonly statistics: readonly Statistic[];
}

/** @throws ConfigError unless `owned` has lists of parameters and statistics */
export function expectModuleState(where: string, owned: unknown, what = 'a module'): void {
  const { parameters, statistics } = Object(owned);
  const have = (all: unknown, side: string) =>
    Array.isArray(all) && all.every((each) => typeof Object(each)[side] === 'object');
  if (!have(parameters, 'dims') || !have(statistics, 'channels'))
    throw new ConfigError(`${where}: expected ${what}, with parameters and statistics, got ${textOf(owned)}`);
}
