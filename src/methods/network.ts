import type { Encoder } from '../encoders/encoder.js';
import type { Module, Pass } from '../nn/module.js';
import { Parameters, type Random, type Tensors, type Width } from '../parameters.js';
import type { Device } from '../runtime/device.js';
import type { Tape } from '../tape.js';
import type { Tensor } from '../tensor.js';
import type { Method } from './method.js';

/** What an encoder makes of a view: features h (N, F) of the backbone, and their embedding z (N, D) by the head behind it. */
export interface Embedding {
  readonly features: Tensor;
  readonly z: Tensor;
}

/** An encoder with a head behind it. */
export type Embedder = (pass: Pass, x: Tensor) => Embedding;

export function embedder(encoder: Encoder, head: Module): Embedder {
  return (pass, x) => {
    const features = encoder.forward(pass, x);
    return { features, z: head.forward(pass, features) };
  };
}

/** The memory of a method: weights, gradients and running statistics of all that it trains. */
export class Network {
  readonly parameters: Parameters;
  /** Encoders and heads, in the order in which their weights lie and are drawn. */
  readonly modules: readonly Module[];
  readonly #method: Method;

  constructor(device: Device, method: Method) {
    const { encoders, heads, sliced, bn } = method;
    this.#method = method;
    this.modules = [...new Set<Module>([encoders.slim, encoders.host, ...heads])];
    this.parameters = new Parameters(
      device,
      this.modules.flatMap(({ parameters }) => parameters),
      this.modules.flatMap(({ statistics }) => statistics),
      { bn: sliced ? bn : 'shared' },
    );
  }

  /** Fills all with first values. */
  initialize(random: Random): void {
    this.parameters.initialize(random);
  }

  /** A training pass. On a frozen tape it leaves no trace: no gradient, no running statistics. */
  pass(tape: Tape, width: Width = 'host'): Pass {
    return { tape, parameters: this.parameters, width, training: true, updateStats: !tape.frozen };
  }

  /** One encoder's backbone, where it lies and at which width. */
  encoder(width: Width): { module: Encoder; parameters: Parameters; width: Width } {
    const { encoders, sliced } = this.#method;
    return { module: encoders[width], parameters: this.parameters, width: sliced ? width : 'host' };
  }

  /** One encoder's backbone as torchvision names and shapes it; slim tensors are cut out of the host's. */
  async encoderState(width: Width): Promise<Tensors> {
    const { module, parameters, width: part } = this.encoder(width);
    return parameters.state(module, part);
  }

  dispose(): void {
    this.parameters.dispose();
  }
}
