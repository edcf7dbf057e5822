// All weights of a network in one buffer, gradients in a second of the same layout, running statistics in a third; a slim tensor
// is a view of the host's. This file is where the slim encoder's weights are sliced.
import { expectArguments } from '../checks/arguments.js';
import { expectOneOf } from '../checks/one_of.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import { ConfigError, ValidationError } from '../errors.js';
import type { Device } from '../runtime/device.js';
import { Readback } from '../runtime/readback.js';
import { selectView, type Tensor, tensor } from '../tensor/tensor.js';
import { ChannelSelection, type SliceMode, sliceModes } from './channel_selection.js';
import {
  type Channels,
  type Dim,
  expectModuleState,
  lengthOf,
  type ModuleState,
  type Parameter,
  parameter,
  type Random,
  type Statistic,
  type Width,
  widths,
} from './parameter.js';
import { type Indices, layOut, type Place, placesOf } from './places.js';
import { checkFiniteState, type Tensors } from './state.js';

export type { Channels, Dim, ModuleState, Parameter, Place, Random, Statistic, Width };
export { parameter };

/**
 * What host and slim encoder share of a batchnorm: the affine tensors as a prefix (`split`), the running statistics too
 * (`shared`), or nothing (`private`). Batch statistics always belong to a single pass.
 */
export const bnModes = ['split', 'shared', 'private'] as const;
export type BnMode = (typeof bnModes)[number];

/** How a slim encoder is sliced from its host. */
export interface Slicing {
  /** Default `split`; a single encoder has one of each tensor and uses `shared`. */
  readonly bn?: BnMode;
  /** Default `prefix`. */
  readonly slice?: SliceMode;
}

export const slicingOptions: Kinds<Slicing> = { bn: 'string', slice: 'string' };

/** @throws ConfigError for an unknown `bn` or `slice` */
export function expectSlicing(where: string, { bn = 'split', slice = 'prefix' }: Slicing): void {
  expectOneOf(`${where}: bn`, bn, bnModes);
  expectOneOf(`${where}: slice`, slice, sliceModes);
}

/** Where a pass finds its tensors: the `Parameters`, or another buffer of the same layout. */
export type ParameterView = Pick<Parameters, 'tensor' | 'statistic'>;

/**
 * All weights in one buffer, all gradients in a second with the same layout, and the running statistics in a third.
 *
 * The host's tensors are the buffers' contents; a slim tensor is a slice of the host's, with the host's strides: the leading
 * block, or the rows and columns in index lists. Slicing copies nothing. Tensors that `bn` makes private to the slim
 * encoder are stored at host length, named `slim.` and their own name.
 */
export class Parameters {
  readonly weights: GPUBuffer;
  readonly grads: GPUBuffer;
  readonly stats: GPUBuffer;
  /** Every trainable tensor, in the order of memory. */
  readonly places: readonly Place[];
  /** Floats in `weights`, padding included. */
  readonly size: number;
  readonly #device: Device;
  readonly #parameters: ReadonlyMap<string, Parameter>;
  readonly #places: ReadonlyMap<string, Place>;
  readonly #statistics: ReadonlyMap<string, Statistic>;
  readonly #statPlaces: ReadonlyMap<string, Place>;
  readonly #statSize: number;
  readonly #tensors = new Map<string, Tensor>();

  readonly #lists: ChannelSelection | undefined;
  readonly #written: Readback | undefined;
  /** Whether a `loadState` is pending. */
  #loading = false;

  constructor(
    device: Device,
    parameters: readonly Parameter[],
    statistics: readonly Statistic[],
    slicing: Slicing = {},
  ) {
    expectArguments('parameters', { device });
    expectModuleState('parameters', { parameters, statistics }, 'lists of what is trained and tracked');
    const { bn = 'split', slice = 'prefix' } = expectOptions('parameters', slicing, slicingOptions);
    this.#device = device;
    expectSlicing('parameters', { bn, slice });
    for (const { name } of [...parameters, ...statistics])
      if (/^(host|slim)\./.test(name))
        throw new ConfigError(
          `parameters: expected names that do not begin with host. or slim., which are reserved for an encoder's own tensors, got ${name}; use another prefix`,
        );
    const own = bn === 'private' ? parameters.filter(({ affine }) => affine) : [];
    const all = [...parameters, ...own.map((parameter) => ({ ...parameter, name: `slim.${parameter.name}` }))];
    const trained = layOut(all);
    const tracking: readonly Width[] = bn === 'shared' ? ['host'] : widths;
    const tracked = layOut(
      tracking.flatMap((width) =>
        statistics.map(({ name, channels }) => ({ name: `${width}.${name}`, shape: [channels.host] })),
      ),
    );
    this.#parameters = new Map(all.map((parameter) => [parameter.name, parameter]));
    this.#statistics = new Map(statistics.map((statistic) => [statistic.name, statistic]));
    this.#places = trained.places;
    this.#statPlaces = tracked.places;
    this.#statSize = tracked.size;
    this.places = [...trained.places.values()];
    this.size = trained.size;
    for (const { name, length } of this.places) device.check(name, length * 4);
    this.weights = device.buffer('weights', trained.size * 4);
    this.grads = device.buffer('grads', trained.size * 4);
    this.stats = device.buffer('stats', tracked.size * 4);
    if (this.places.length > 0)
      device.awaitContents(this.weights, 'call initialize(random), load(), loadState() or write() first');
    if (slice === 'prefix') return;
    this.#lists = new ChannelSelection(device, parameters);
    const range = ({ name }: Parameter) => {
      const { offset, length } = this.#places.get(name) as Place;
      return [name, { buffer: this.weights, offset: offset * 4, bytes: length * 4 }] as const;
    };
    this.#written = new Readback(device, 'kept', Object.fromEntries(this.#lists.writers.map(range)));
  }

  get names(): readonly string[] {
    return [...this.#places.keys()];
  }

  /** Shapes of all trainable tensors, running statistics and index lists, by the names that `read()` returns. */
  get shapes(): Map<string, readonly number[]> {
    const places = [...this.places, ...this.#statPlaces.values()].map(({ name, shape }) => [name, shape] as const);
    const lists = [...(this.#lists?.read() ?? [])].map(([name, { shape }]) => [name, shape] as const);
    return new Map([...places, ...lists]);
  }

  /**
   * Fills weights and running statistics with the initial values of a network of the host's width. With `l1`, channels are
   * selected by them immediately: otherwise the first selection after the warm-up would replace a third of the channels.
   */
  initialize(random: Random): void {
    if (typeof random !== 'function')
      throw new ConfigError(
        `parameters: expected a function that draws numbers, as Math.random, got ${textOf(random)}`,
      );
    const weights = new Float32Array(this.size);
    for (const { name, offset, length } of this.places) {
      const { init } = this.#parameter(name);
      for (let i = 0; i < length; i++) weights[offset + i] = init(random);
    }
    this.#device.write(this.weights, weights);
    const stats = new Float32Array(this.#statSize);
    for (const { name, offset, length } of this.#statPlaces.values())
      stats.fill(this.#statistic(name.replace(/^(host|slim)\./, '')).init, offset, offset + length);
    this.#device.write(this.stats, stats);
    this.#lists?.select(({ name }) => {
      const { offset, length } = this.#places.get(name) as Place;
      return weights.subarray(offset, offset + length);
    });
  }

  /**
   * Selects the slim encoder's channels again, by the weights after all work submitted so far. It waits for that work and
   * allocates nothing; recorded plans use the new channels from then on.
   *
   * @returns the number of newly kept channels; 0 for `prefix`, which never changes
   */
  async select(): Promise<number> {
    if (!this.#lists || !this.#written) return 0;
    const weights = await this.#written.snapshot();
    return this.#lists.select(({ name }) => weights[name]);
  }

  /** The columns of the host's (N, C) that correspond to the slim encoder's (N, C'). */
  slice(x: Tensor, channels: Channels): Tensor {
    return selectView(x, [x.shape[0], channels.slim], { columns: this.#lists?.list(channels) });
  }

  /** A trainable tensor of an encoder: the whole for the host, its slice for the slim one. */
  tensor(name: string, width: Width): Tensor {
    expectOneOf(`${name}: width`, width, widths);
    const key = `${width} ${name}`;
    let found = this.#tensors.get(key);
    if (!found) {
      const { dims: sides, shape, slim } = this.#parameter(name);
      const { offset } = this.#placeOf(name, width);
      const grad = tensor(this.grads, `grad ${name}`, shape, offset * 4);
      const host = { ...tensor(this.weights, name, shape, offset * 4), grad };
      const [rows, columns] = sides.map((side) => this.#listOf(side));
      found = width === 'host' ? host : selectView(host, slim, { rows, columns });
      this.#tensors.set(key, found);
    }
    return found;
  }

  /** A running statistic of one encoder; for the slim one, of the channels that it keeps. */
  statistic(name: string, width: Width): Tensor {
    expectOneOf(`${name}: width`, width, widths);
    const { channels } = this.#statistic(name);
    const host = tensor(this.stats, name, [channels.host], this.#statPlaceOf(name, width).offset * 4);
    return width === 'host' ? host : selectView(host, [channels.slim], { rows: this.#listOf(channels) });
  }

  /** The tensors of a part of the network as one encoder sees them, by their own names; slim tensors are slices of the host's. */
  async state(owned: ModuleState, width: Width): Promise<Tensors> {
    expectModuleState('parameters', owned);
    expectOneOf('parameters: width', width, widths);
    const { parameters, statistics } = owned;
    const whole = await this.#readBuffers();
    const cut = (name: string, shape: readonly number[]) => {
      const { kind, at } = this.elements(name, width);
      return [name, { shape, data: Float32Array.from(at, (i) => whole[kind][i]) }] as const;
    };
    return new Map([
      ...parameters.map(({ name, shape, slim }) => cut(name, width === 'host' ? shape : slim)),
      ...statistics.map(({ name, channels }) => cut(name, [channels[width]])),
    ]);
  }

  /** The positions in `weights` or `stats`, in floats, of the elements of a tensor or running statistic as an encoder sees it. */
  elements(name: string, width: Width): { kind: 'weights' | 'stats'; at: Uint32Array } {
    expectOneOf(`${name}: width`, width, widths);
    const kept = (side: Dim): Indices =>
      width === 'slim' && typeof side !== 'number' && this.#lists
        ? this.#lists.kept(side)
        : Array.from({ length: lengthOf(side, width) }, (_, i) => i);
    const parameter = this.#parameters.get(name);
    const place = parameter ? this.#placeOf(name, width) : this.#statPlaceOf(name, width);
    const sides = parameter?.dims ?? [this.#statistic(name).channels];
    return { kind: parameter ? 'weights' : 'stats', at: placesOf(place, sides.map(kept)) };
  }

  /** The same tensors in another buffer of the layout of `weights`, without gradients: e.g. an average of the weights. */
  withBuffer(weights: GPUBuffer): ParameterView {
    return {
      tensor: (name, width) => {
        const { grad: _, ...constant } = this.tensor(name, width);
        return { ...constant, storage: weights };
      },
      statistic: (name, width) => this.statistic(name, width),
    };
  }

  /** Reads back all trainable tensors, running statistics and index lists, by name. */
  async read(): Promise<Tensors> {
    const { weights, stats } = await this.#readBuffers();
    const slice =
      (from: Float32Array<ArrayBuffer>) =>
      ({ name, shape, offset, length }: Place) =>
        [name, { shape, data: from.slice(offset, offset + length) }] as const;
    const statistics = [...this.#statPlaces.values()].map(slice(stats));
    return new Map([...this.places.map(slice(weights)), ...statistics, ...(this.#lists?.read() ?? [])]);
  }

  /**
   * Writes what `read()` returned.
   *
   * @param what the name for messages
   * @throws DataError that lists every tensor that is missing, extra, of another shape or not finite, or of an invalid index
   * list; then nothing is written
   */
  load(tensors: Tensors, what = 'parameters'): void {
    checkFiniteState(tensors, this.shapes, what);
    this.#lists?.load(tensors);
    for (const { name } of [...this.places, ...this.#statPlaces.values()])
      this.write(name, (tensors.get(name) as { data: Float32Array }).data);
  }

  /**
   * Writes what `state()` returned for a module, by the same names; for the slim encoder, into its slice of the host's
   * tensors. It waits for all work submitted so far; await it before submitting more.
   *
   * @param what the name for messages
   * @throws DataError that lists every tensor that is missing, extra, of another shape or not finite; nothing is written then.
   * ValidationError where another call is pending
   */
  async loadState(owned: ModuleState, width: Width, state: Tensors, what?: string): Promise<void> {
    expectModuleState('parameters', owned);
    expectOneOf('parameters: width', width, widths);
    const { parameters, statistics } = owned;
    const shapes = [
      ...parameters.map(({ name, shape, slim }) => [name, width === 'host' ? shape : slim] as const),
      ...statistics.map(({ name, channels }) => [name, [channels[width]]] as const),
    ];
    checkFiniteState(state, new Map(shapes), what ?? `state of the ${width} encoder`);
    if (this.#loading) throw new ValidationError('parameters: loadState() while another is pending; await it first');
    this.#loading = true;
    const given = new Map([...state].map(([name, { data }]) => [name, Float32Array.from(data)]));
    const whole = await this.#readBuffers().finally(() => {
      this.#loading = false;
    });
    for (const [name, data] of given) {
      const { kind, at } = this.elements(name, width);
      data.forEach((value, i) => {
        whole[kind][at[i]] = value;
      });
      const { offset, length } = this.#parameters.has(name)
        ? this.#placeOf(name, width)
        : this.#statPlaceOf(name, width);
      this.#device.write(
        kind === 'weights' ? this.weights : this.stats,
        whole[kind].subarray(offset, offset + length),
        offset * 4,
      );
    }
  }

  /** Writes one trainable tensor of the host, or one running statistic by its full name (`slim.….running_mean`). */
  write(name: string, data: Float32Array): void {
    const place = this.#places.get(name) ?? this.#statPlaces.get(name);
    if (!place) throw new ValidationError(`parameters: no tensor "${name}"`);
    if (!(data instanceof Float32Array))
      throw new ValidationError(`parameters: expected a Float32Array for ${name}, got ${textOf(data)}`);
    if (data.length !== place.length)
      throw new ValidationError(`parameters: expected ${place.length} values for ${name}, got ${data.length}`);
    this.#device.write(this.#places.has(name) ? this.weights : this.stats, data, place.offset * 4);
  }

  dispose(): void {
    this.#device.release([this.weights, this.grads, this.stats]);
    this.#lists?.dispose();
    this.#written?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #listOf(side: Dim | undefined) {
    return typeof side === 'object' ? this.#lists?.list(side) : undefined;
  }

  async #readBuffers(): Promise<Record<'weights' | 'stats', Float32Array<ArrayBuffer>>> {
    return {
      weights: new Float32Array(await this.#device.read(this.weights)),
      stats: new Float32Array(await this.#device.read(this.stats)),
    };
  }

  /** Where an encoder's tensor begins: its private one, or the shared one. */
  #placeOf(name: string, width: Width): Place {
    return (this.#places.get(`${width}.${name}`) ?? this.#places.get(name)) as Place;
  }

  #statPlaceOf(name: string, width: Width): Place {
    return (this.#statPlaces.get(`${width}.${name}`) ?? this.#statPlaces.get(`host.${name}`)) as Place;
  }

  #parameter(name: string): Parameter {
    const parameter = this.#parameters.get(name);
    if (!parameter)
      throw new ValidationError(
        `parameters: no parameter "${name}"; declare the module that has it (for a method, among its heads)`,
      );
    return parameter;
  }

  #statistic(name: string): Statistic {
    const statistic = this.#statistics.get(name);
    if (!statistic) throw new ValidationError(`parameters: no statistic "${name}"`);
    return statistic;
  }
}
