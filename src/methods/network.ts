import type { Encoder } from '../encoders/encoder.js';
import type { Module, Pass } from '../nn/module.js';
import { projector } from '../nn/projector.js';
import { Parameters, type Tensors, type Width } from '../parameters.js';
import type { Device } from '../runtime/device.js';
import type { Tape } from '../tape.js';
import { numel, type Tensor } from '../tensor.js';

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

  /** One encoder's backbone as torchvision names and shapes it; slim tensors are cut out of the host's. */
  async encoderState(width: Width): Promise<Tensors> {
    const { parameters, statistics } = this.encoder;
    const whole = await this.parameters.read();
    const values = (name: string) => (whole.get(name) as { data: Float32Array }).data;
    const state: Tensors = new Map();
    for (const { name, shape, slim } of parameters) {
      const wanted = width === 'host' ? shape : slim;
      state.set(name, { shape: wanted, data: leadingBlock(values(name), shape, wanted) });
    }
    for (const { name, channels } of statistics) {
      const stored = whole.has(`${width}.${name}`) ? `${width}.${name}` : `host.${name}`;
      state.set(name, { shape: [channels[width]], data: values(stored).slice(0, channels[width]) });
    }
    return state;
  }

  dispose(): void {
    this.parameters.dispose();
  }
}

/** The leading block `shape` of a contiguous tensor whose later sides, the kernel's, are whole; copied. */
function leadingBlock(data: Float32Array, host: readonly number[], shape: readonly number[]): Float32Array {
  const kernel = numel(host.slice(2));
  const [rows, columns = 1] = shape;
  const [, hostColumns = 1] = host;
  const block = new Float32Array(numel(shape));
  for (let o = 0; o < rows; o++) {
    const from = o * hostColumns * kernel;
    block.set(data.subarray(from, from + columns * kernel), o * columns * kernel);
  }
  return block;
}
