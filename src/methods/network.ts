// The memory of a method: parameters of its encoders and heads, averaged weights, queues.
import { expectArguments } from '../checks/arguments.js';
import { textOf } from '../checks/text_of.js';
import { Parameters, type Random, type Slicing, type Width } from '../core/parameters.js';
import type { Tensors } from '../core/state.js';
import type { Tape } from '../core/tape.js';
import { checkEncoder, type Encoder } from '../encoders/encoder.js';
import { ConfigError, OutOfMemoryError, ValidationError } from '../errors.js';
import { standardNormal } from '../nn/init.js';
import { expectModule, type Module, type Pass } from '../nn/module.js';
import { ema } from '../optim/ema.js';
import type { Device } from '../runtime/device.js';
import type { Plan } from '../runtime/plan.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** An encoder's outputs for a view: features h (N, F) of the backbone, and their embedding z (N, D) by its head. */
export interface Embedding {
  readonly features: Tensor;
  readonly z: Tensor;
}

/** An encoder with its head. */
export type Embedder = (pass: Pass, x: Tensor) => Embedding;

/** The encoder followed by the head. */
export function embedder(encoder: Encoder, head: Module): Embedder {
  checkEncoder('embedder', encoder);
  expectModule('embedder', head);
  return (pass, x) => {
    const features = encoder.forward(pass, x);
    return { features, z: head.forward(pass, features) };
  };
}

/** The networks that a method trains, and its state between steps. */
export interface NetworkParts {
  /** The encoders that a run exports: two widths of one if `sliced`, else two, or the same one twice. */
  readonly encoders: Readonly<Record<Width, Encoder>>;
  /** How the slim encoder is sliced from the host, if it is a slice. */
  readonly sliced: Slicing | false;
  /** What is trained besides the encoders: projectors, predictors, prototypes. */
  readonly heads: readonly Module[];
  /** Whether it keeps an average of all weights. */
  readonly averages?: boolean;
  /** Queues of embeddings of former batches: K rows of length D, by name. */
  readonly queues?: Readonly<Record<string, readonly [K: number, D: number]>>;
}

/** The memory of a method: weights, gradients and running statistics of all that it trains, its average and its queues. */
export class Network {
  readonly parameters: Parameters;
  /** The EMA of all weights, laid out like them, if the method keeps one. It has no running statistics. */
  readonly average: GPUBuffer | undefined;
  /** Queues of embeddings of earlier batches (Q, D), by name. */
  readonly queues: Readonly<Record<string, Tensor>>;
  /** Encoders and heads, in the order in which their weights are stored and initialized. */
  readonly modules: readonly Module[];
  readonly #device: Device;
  readonly #method: NetworkParts;

  constructor(device: Device, method: NetworkParts) {
    expectArguments('network', { device });
    expectParts('network', method);
    const { encoders, heads, sliced, averages, queues = {} } = method;
    this.#device = device;
    this.#method = method;
    this.modules = [...new Set<Module>([encoders.slim, encoders.host, ...heads])];
    for (const [name, [K, D]] of Object.entries(queues)) checkQueue(device, name, K, D);
    this.parameters = new Parameters(
      device,
      this.modules.flatMap(({ parameters }) => parameters),
      this.modules.flatMap(({ statistics }) => statistics),
      sliced || { bn: 'shared' },
    );
    this.average = averages ? device.buffer('average', this.parameters.size * 4) : undefined;
    const queue = ([name, [K, D]]: [string, readonly [number, number]]) =>
      [name, tensor(device.buffer(name, K * D * 4), name, [K, D])] as const;
    this.queues = Object.fromEntries(Object.entries(queues).map(queue));
  }

  /** Records the update of the average, by the step's momentum. */
  updateAverage(plan: Plan): void {
    if (!this.average) throw new ValidationError('expected a method that keeps an average');
    const { places, size } = this.parameters;
    ema(plan, { weights: this.average, places, size }, this.parameters);
  }

  /** Initializes everything: the average as a copy of the weights, queues with random rows of length 1. */
  initialize(random: Random): void {
    this.parameters.initialize(random);
    if (this.average) this.#device.copy(this.parameters.weights, this.average);
    for (const queue of Object.values(this.queues)) this.#device.write(queue, directions(random, queue.shape));
  }

  /**
   * Writes trained weights into the encoder whose shapes they match, host or slim; with two encoders, into the slim one.
   * The average becomes a copy of all weights, and channels that are selected by norm are selected again by a host's.
   *
   * @param state by the encoder's own names
   * @param what its name in messages
   * @throws DataError that lists every tensor that is missing, extra, of another shape or not finite
   */
  async loadEncoder(state: Tensors, what = 'loadEncoder'): Promise<void> {
    const { module, width } = this.encoder('slim');
    const isSlim = module.parameters.every(
      ({ name, shape, slim }) => String(state.get(name)?.shape ?? slim) === String(width === 'slim' ? slim : shape),
    );
    const into = width === 'slim' && !isSlim ? 'host' : width;
    await this.parameters.loadState(module, into, state, `${what}: tensors of the ${into} encoder`);
    if (into === 'host') await this.parameters.select();
    if (this.average) this.#device.copy(this.parameters.weights, this.average);
  }

  /** A training pass. On a tape with noGrad it leaves no gradient and does not update running statistics. */
  pass(tape: Tape, width: Width = 'host'): Pass {
    return { tape, parameters: this.parameters, width, training: true, updateStats: !tape.noGrad };
  }

  /** A pass through the average of the weights, by batch statistics; on a tape with noGrad. */
  averagedPass(tape: Tape): Pass {
    if (!this.average || !tape.noGrad)
      throw new ValidationError(
        `averagedPass: expected ${this.average ? 'a tape with noGrad, for no gradient reaches an average' : 'a method that averages'}`,
      );
    return { ...this.pass(tape), parameters: this.parameters.withBuffer(this.average) };
  }

  /** The columns of the host's features (N, F) that the slim encoder has too. */
  readonly hostFeatureSlice = (features: Tensor): Tensor =>
    this.parameters.slice(features, this.#method.encoders.slim.features);

  /** One encoder's backbone, with its location and width. */
  encoder(width: Width): { module: Encoder; parameters: Parameters; width: Width } {
    const { encoders, sliced } = this.#method;
    return { module: encoders[width], parameters: this.parameters, width: sliced ? width : 'host' };
  }

  /** One encoder's backbone as torchvision names and shapes it; slim tensors are slices of the host's. */
  async encoderState(width: Width): Promise<Tensors> {
    const { module, parameters, width: part } = this.encoder(width);
    const state = await parameters.state(module, part);
    return new Map([...state].map(([name, tensor]) => [name.replace(/^teacher\./, ''), tensor]));
  }

  dispose(): void {
    this.parameters.dispose();
    if (this.average) this.#device.release([this.average]);
    this.#device.release(Object.values(this.queues));
  }
}

/** @throws OutOfMemoryError if a queue exceeds one binding of the device */
function checkQueue({ limits, name: adapter }: Device, name: string, K: number, D: number): void {
  const most = Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize);
  if (4 * K * D > most)
    throw new OutOfMemoryError(
      `${name}: ${K} embeddings of ${D} numbers are ${4 * K * D} bytes, but one binding of ${adapter} holds at most ` +
        `${most}; use a shorter queue (--queue) or shorter embeddings`,
    );
}

/** K random rows of length 1. */
function directions(random: Random, [K, D]: readonly number[]): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(K * D);
  for (let at = 0; at < rows.length; at += D) {
    const row = Float64Array.from({ length: D }, () => standardNormal(random));
    const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    rows.set(
      row.map((x) => x / length),
      at,
    );
  }
  return rows;
}

/** The error for what is not a method. */
export function notAMethod(where: string, given: unknown): ConfigError {
  return new ConfigError(
    `${where}: expected a method, as saclXd(encoder) makes one, got ${textOf(given)}; ` +
      'of a configuration it is methodOf(config)',
  );
}

/** @throws ConfigError, in the name of `where`, for encoders that are not encoders or heads that are not modules */
export function expectParts(where: string, parts: NetworkParts): void {
  const { encoders, heads } = Object(parts) as Partial<NetworkParts>;
  if (!Array.isArray(heads)) throw notAMethod(where, parts);
  for (const width of ['host', 'slim'] as const) checkEncoder(`${where}: encoders.${width}`, encoders?.[width]);
  for (const head of heads) expectModule(where, head);
}
