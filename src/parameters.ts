import { ValidationError } from './errors.js';
import type { Device } from './runtime/device.js';
import { contiguous, numel, prefix, type Tensor, tensor } from './tensor.js';

/** Which of the two encoders: the host owns the weights, the slim one uses a slice of them. */
export type Width = 'host' | 'slim';

/**
 * A group of channels, and its size in the host and in the slim encoder. The object is the group: what must keep the same
 * channels (a producer and all that a depthwise convolution, batchnorm, excitation or residual add ties to it) holds
 * one and the same object, and groups that are free of each other hold different ones, of whatever sizes.
 */
export interface Channels {
  readonly host: number;
  readonly slim: number;
}

/** Draws a number in [0, 1). */
export type Random = () => number;

/** A side of a parameter: a group of channels, or a length that both encoders share, as a kernel's. */
export type Side = Channels | number;

/** A trainable tensor: its shape in the host, the leading block of it that is the slim encoder's, and how it starts. */
export interface Parameter {
  readonly name: string;
  /** (O, I, K, K) of a convolution, say: which groups of channels its rows and columns belong to. */
  readonly sides: readonly Side[];
  /** The lengths of `sides` in the host, */
  readonly shape: readonly number[];
  /** and in the slim encoder. */
  readonly slim: readonly number[];
  readonly init: (random: Random) => number;
  /** Of a batchnorm: where `bn` is private, the slim encoder has one of its own. */
  readonly affine?: boolean;
}

/** A parameter of these sides. */
export function parameter(name: string, sides: readonly Side[], init: (random: Random) => number): Parameter {
  const shape = (width: Width) => sides.map((side) => (typeof side === 'number' ? side : side[width]));
  return { name, sides, shape: shape('host'), slim: shape('slim'), init };
}

/**
 * What host and slim encoder share of a batchnorm: the affine tensors as a prefix (`split`), the running statistics too
 * (`shared`), or nothing (`private`). Batch statistics are always a pass's own.
 */
export const bnModes = ['split', 'shared', 'private'] as const;
export type BnMode = (typeof bnModes)[number];

/** A tensor with one value per channel that is tracked, not trained: a running mean or variance. */
export interface Statistic {
  readonly name: string;
  readonly channels: Channels;
  readonly init: number;
}

/** What a part of a network owns. */
export interface Owned {
  readonly parameters: readonly Parameter[];
  readonly statistics: readonly Statistic[];
}

/** Where a tensor lies in its buffer: offset and length in floats. */
export interface Place {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
}

/** Tensors on the CPU, by the names they are saved under. */
export type Tensors = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

const boundary = 64; // floats: 256 bytes, the largest alignment that a binding's offset may need

function layOut(tensors: readonly { name: string; shape: readonly number[] }[]): {
  places: Map<string, Place>;
  size: number;
} {
  const places = new Map<string, Place>();
  let size = 0;
  for (const { name, shape } of tensors) {
    if (places.has(name)) throw new ValidationError(`internal: parameters: two tensors are named "${name}"`);
    const length = numel(shape);
    places.set(name, { name, shape, offset: size, length });
    size += Math.ceil(length / boundary) * boundary;
  }
  return { places, size: Math.max(size, boundary) };
}

/** Where a pass finds its tensors: the `Parameters`, or others that lie like them. */
export type Weights = Pick<Parameters, 'tensor' | 'statistic'>;

/**
 * All weights in one buffer, all gradients in a second with the same layout, and the running statistics in a third.
 *
 * The host's tensors are the buffers' contents; a slim tensor is the leading block of the host's, with the host's
 * strides. Nothing is copied to be sliced. What `bn` keeps apart for the slim encoder is stored at host length, under
 * `slim.` and its name.
 */
export class Parameters {
  readonly weights: GPUBuffer;
  readonly grads: GPUBuffer;
  readonly stats: GPUBuffer;
  /** Every trainable tensor in the order of its place. */
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

  /** @param bn of a lone encoder, which has one of everything: `shared`. */
  constructor(
    device: Device,
    parameters: readonly Parameter[],
    statistics: readonly Statistic[],
    { bn = 'split' }: { bn?: BnMode } = {},
  ) {
    this.#device = device;
    const own = bn === 'private' ? parameters.filter(({ affine }) => affine) : [];
    const all = [...parameters, ...own.map((parameter) => ({ ...parameter, name: `slim.${parameter.name}` }))];
    const trained = layOut(all);
    const widths: Width[] = bn === 'shared' ? ['host'] : ['host', 'slim'];
    const tracked = layOut(
      widths.flatMap((width) =>
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
  }

  get names(): readonly string[] {
    return [...this.#places.keys()];
  }

  /** Shapes of all trainable tensors and running statistics, by the names that `read()` gives and `write()` takes. */
  get shapes(): Map<string, readonly number[]> {
    return new Map([...this.places, ...this.#statPlaces.values()].map(({ name, shape }) => [name, shape]));
  }

  /** Fills weights and running statistics with their first values: those of a network of the host's width. */
  initialize(random: Random): void {
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
  }

  /** A trainable tensor as an encoder sees it: the host's whole, or the slim one's leading block. */
  tensor(name: string, width: Width): Tensor {
    const key = `${width} ${name}`;
    let found = this.#tensors.get(key);
    if (!found) {
      const { shape, slim } = this.#parameter(name);
      const { offset } = this.#placeOf(name, width);
      const grad = tensor(this.grads, `grad ${name}`, shape, offset * 4);
      const host = { ...tensor(this.weights, name, shape, offset * 4), grad };
      found = width === 'host' ? host : prefix(host, slim);
      this.#tensors.set(key, found);
    }
    return found;
  }

  /** A running statistic of one encoder: its first channels where the encoder is slim. */
  statistic(name: string, width: Width): Tensor {
    const { channels } = this.#statistic(name);
    return tensor(this.stats, name, [channels[width]], this.#statPlaceOf(name, width).offset * 4);
  }

  /** The tensors of a part of the network as one encoder sees them, by their own names; slim ones are cut out of the host's. */
  async state({ parameters, statistics }: Owned, width: Width): Promise<Tensors> {
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

  /** Where the elements of a tensor or running statistic, as an encoder sees it, lie in `weights` or `stats`: in floats. */
  elements(name: string, width: Width): { kind: 'weights' | 'stats'; at: Uint32Array } {
    const parameter = this.#parameters.get(name);
    if (!parameter) {
      const { offset } = this.#statPlaceOf(name, width);
      const channels = this.#statistic(name).channels[width];
      return { kind: 'stats', at: Uint32Array.from({ length: channels }, (_, c) => offset + c) };
    }
    const { shape, slim } = parameter;
    const { offset } = this.#placeOf(name, width);
    return { kind: 'weights', at: block(offset, shape, width === 'host' ? shape : slim) };
  }

  /** The same tensors in a buffer that lies like `weights`: constants, as an average of the weights is to the gradient. */
  over(weights: GPUBuffer): Weights {
    return {
      tensor: (name, width) => {
        const { grad: _, ...constant } = this.tensor(name, width);
        return { ...constant, storage: weights };
      },
      statistic: (name, width) => this.statistic(name, width),
    };
  }

  /** Reads all trainable tensors and running statistics back, by name. */
  async read(): Promise<Tensors> {
    const { weights, stats } = await this.#readBuffers();
    const slice =
      (from: Float32Array<ArrayBuffer>) =>
      ({ name, shape, offset, length }: Place) =>
        [name, { shape, data: from.slice(offset, offset + length) }] as const;
    return new Map([...this.places.map(slice(weights)), ...[...this.#statPlaces.values()].map(slice(stats))]);
  }

  /** Writes one trainable tensor of the host, or one running statistic by its full name (`slim.….running_mean`). */
  write(name: string, data: Float32Array): void {
    const place = this.#places.get(name) ?? this.#statPlaces.get(name);
    if (!place) throw new ValidationError(`internal: parameters: no tensor "${name}"`);
    if (data.length !== place.length)
      throw new ValidationError(
        `internal: parameters: expected ${place.length} values for ${name}, got ${data.length}`,
      );
    this.#device.write(this.#places.has(name) ? this.weights : this.stats, data, place.offset * 4);
  }

  dispose(): void {
    for (const buffer of [this.weights, this.grads, this.stats]) this.#device.free(buffer);
  }

  async #readBuffers(): Promise<Record<'weights' | 'stats', Float32Array<ArrayBuffer>>> {
    return {
      weights: new Float32Array(await this.#device.read(this.weights)),
      stats: new Float32Array(await this.#device.read(this.stats)),
    };
  }

  /** Where an encoder's tensor begins: in one of its own, or in the one that both share. */
  #placeOf(name: string, width: Width): Place {
    return (this.#places.get(`${width}.${name}`) ?? this.#places.get(name)) as Place;
  }

  #statPlaceOf(name: string, width: Width): Place {
    return (this.#statPlaces.get(`${width}.${name}`) ?? this.#statPlaces.get(`host.${name}`)) as Place;
  }

  #parameter(name: string): Parameter {
    const parameter = this.#parameters.get(name);
    if (!parameter) throw new ValidationError(`internal: parameters: no parameter "${name}"`);
    return parameter;
  }

  #statistic(name: string): Statistic {
    const statistic = this.#statistics.get(name);
    if (!statistic) throw new ValidationError(`internal: parameters: no statistic "${name}"`);
    return statistic;
  }
}

/** Where the elements of the leading block `shape` of a contiguous tensor lie that begins at `offset`. */
function block(offset: number, host: readonly number[], shape: readonly number[]): Uint32Array {
  const strides = contiguous(host);
  let at = Uint32Array.of(offset);
  shape.forEach((side, d) => {
    const wider = new Uint32Array(at.length * side);
    for (let i = 0; i < wider.length; i++) wider[i] = at[Math.floor(i / side)] + (i % side) * strides[d];
    at = wider;
  });
  return at;
}
