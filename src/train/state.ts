import { checkState } from '../io/checkpoint.js';
import type { Network } from '../methods/network.js';
import type { Optimizer } from '../optim/optimizer.js';
import type { Tensors } from '../parameters.js';
import type { Device } from '../runtime/device.js';
import { numel } from '../tensor.js';

/** Buffers that lie like the weights, by what their tensors' names begin with in a checkpoint. */
function alike({ average }: Network, moments: Optimizer['moments']): [prefix: string, buffer: GPUBuffer][] {
  return Object.entries({ ...(average && { average }), ...moments });
}

/** Every tensor that defines a run: weights, running statistics, what the method carries, and the optimizer's moments. */
export async function saveState(device: Device, network: Network, moments: Optimizer['moments']): Promise<Tensors> {
  const tensors: Tensors = await network.parameters.read();
  for (const [prefix, buffer] of alike(network, moments)) {
    const values = new Float32Array(await device.read(buffer));
    for (const { name, shape, offset, length } of network.parameters.places)
      tensors.set(`${prefix}.${name}`, { shape, data: values.slice(offset, offset + length) });
  }
  for (const [name, { storage, shape }] of Object.entries(network.queues))
    tensors.set(name, { shape, data: new Float32Array(await device.read(storage as GPUBuffer, 0, numel(shape) * 4)) });
  return tensors;
}

/**
 * Puts what `saveState` gave in its place.
 *
 * @throws DataError that lists every tensor that is missing, extra or of another shape, before any is taken
 */
export async function loadState(
  device: Device,
  network: Network,
  moments: Optimizer['moments'],
  tensors: Tensors,
): Promise<void> {
  const { parameters, queues } = network;
  const { shapes, places } = parameters;
  const buffers = alike(network, moments);
  const expected = new Map<string, readonly number[]>([
    ...shapes,
    ...buffers.flatMap(([prefix]) => places.map(({ name, shape }) => [`${prefix}.${name}`, shape] as const)),
    ...Object.entries(queues).map(([name, { shape }]) => [name, shape] as const),
  ]);
  checkState(tensors, expected, 'checkpoint');

  const saved = (name: string) => (tensors.get(name) as { data: Float32Array }).data;
  for (const name of shapes.keys()) parameters.write(name, saved(name));
  for (const [prefix, buffer] of buffers)
    for (const { name, offset } of places) device.write(buffer, saved(`${prefix}.${name}`), offset * 4);
  for (const [name, { storage }] of Object.entries(queues)) device.write(storage as GPUBuffer, saved(name));
  await device.settled();
}
