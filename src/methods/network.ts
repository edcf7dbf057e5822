import type { Encoder } from '../encoders/mobilenet_v1.js';
import type { Module, Pass } from '../nn/module.js';
import { projector } from '../nn/projector.js';
import { Parameters, type Width } from '../parameters.js';
import type { Device } from '../runtime/device.js';
import type { Tape } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** What an encoder makes of a view: features h (N, F) of the backbone, and their embedding z (N, D) by the projector. */
export interface Embedding {
  readonly features: Tensor;
  readonly z: Tensor;
}

/** An encoder, the projector behind it, and the weights of both, used by host and slim alike. */
export class Network {
  readonly encoder: Encoder;
  readonly head: Module;
  readonly parameters: Parameters;

  /**
   * @param units D, the width of the projector.
   * @param lone whether host and slim are one encoder (ratio 1), with one set of running statistics.
   */
  constructor(device: Device, encoder: Encoder, units: number, { lone = false } = {}) {
    this.encoder = encoder;
    this.head = projector(encoder.features, units);
    this.parameters = new Parameters(
      device,
      [...encoder.parameters, ...this.head.parameters],
      [...encoder.statistics, ...this.head.statistics],
      { split: !lone },
    );
  }

  /** Records a training pass of view x (N, 3, H, W). A frozen tape's pass leaves no trace: no gradient, no running statistics. */
  embed(tape: Tape, x: Tensor, width: Width): Embedding {
    const pass: Pass = { tape, parameters: this.parameters, width, training: true, updateStats: !tape.frozen };
    const features = this.encoder.forward(pass, x);
    return { features, z: this.head.forward(pass, features) };
  }

  dispose(): void {
    this.parameters.dispose();
  }
}
