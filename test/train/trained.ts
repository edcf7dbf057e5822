import { Parameters } from '../../src/core/parameters.js';
import type { Tensors } from '../../src/core/state.js';
import { Tape } from '../../src/core/tape.js';
import type { Encoder } from '../../src/encoders/encoder.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, type Tensor } from '../../src/tensor/tensor.js';
import { upload } from '../check.js';
import { randoms } from '../random.js';

/** Images (N, 3, S, S) as an encoder sees them. */
export interface Input {
  readonly shape: readonly number[];
  readonly images: Float32Array<ArrayBuffer>;
}

export function randomInput(random: () => number, N: number, side: number): Input {
  const shape = [N, 3, side, side];
  return { shape, images: randoms(random, numel(shape)) };
}

/** Features (N, F) of a lone encoder, by its running statistics. */
export async function features(device: Device, encoder: Encoder, state: Tensors, input: Input): Promise<Float32Array> {
  return run(device, encoder, state, input, false, async (plan, y) => (await plan.read(y)).slice(0, numel(y.shape)));
}

/** Random weights, with the running statistics that random images give: a network whose features tell images apart. */
export async function trained(device: Device, random: () => number, encoder: Encoder, side: number): Promise<Tensors> {
  const state: Tensors = new Map();
  for (const { name, shape } of encoder.parameters) {
    const [mean, spread] = shape.length > 1 ? [0, 3 / Math.sqrt(numel(shape.slice(1)))] : [0.8, 0.4];
    state.set(name, { shape, data: randoms(random, numel(shape), mean, spread) });
  }
  for (const { name, channels } of encoder.statistics)
    state.set(name, { shape: [channels.host], data: new Float32Array(channels.host) });
  const input = randomInput(random, 8, side);
  return run(device, encoder, state, input, true, async (_plan, _y, { operations }, parameters) => {
    const moved = await parameters.read();
    for (const { op, inputs, attributes } of operations)
      for (const { label, shape } of op === 'batchnorm' ? inputs.slice(3) : []) {
        const batch = moved.get(`host.${label}`)!.data.map((value) => value / Number(attributes.momentum)); // the rest was zero
        // a channel that hardly varies over so few images would make rounding errors large
        const average = batch.reduce((sum, value) => sum + value) / batch.length;
        state.set(label, { shape, data: label.endsWith('var') ? batch.map((value) => (value + average) / 2) : batch });
      }
    return state;
  });
}

/** Records the encoder on images, runs it once, and hands over what `read` makes of it. */
async function run<T>(
  device: Device,
  { forward, parameters: trainable, statistics }: Encoder,
  state: Tensors,
  { shape, images }: Input,
  training: boolean,
  read: (plan: Plan, y: Tensor, tape: Tape, parameters: Parameters) => Promise<T>,
): Promise<T> {
  const parameters = new Parameters(device, trainable, statistics, { bn: 'shared' });
  const tracked = new Set(statistics.map(({ name }) => name));
  for (const [name, { data }] of state) parameters.write(tracked.has(name) ? `host.${name}` : name, data);
  const x = upload(device, 'x', shape, images);
  const plan = new Plan(device);
  const tape = new Tape(plan, { noGrad: true });
  const y = forward({ tape, parameters, width: 'host', training, updateStats: training }, x);
  plan.retain(y);
  await plan.compile();
  plan.run();
  const result = await read(plan, y, tape, parameters);
  plan.dispose();
  parameters.dispose();
  device.free(x);
  return result;
}
