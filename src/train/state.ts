// All tensors of a run's state, saved and loaded by name.
import type { Tensors } from '../core/state.js';
import { DataError } from '../errors.js';
import { checkState } from '../formats/checkpoint.js';
import type { Network } from '../methods/network.js';
import type { Optimizer } from '../optim/optimizer.js';
import type { Device } from '../runtime/device.js';

/** Buffers with the layout of the weights, by the prefix of their tensors' names in a checkpoint. */
function shapedAsWeights({ average }: Network, moments: Optimizer['moments']): [prefix: string, buffer: GPUBuffer][] {
  return Object.entries({ ...(average && { average }), ...moments });
}

/** State of a run outside its network. */
export interface Held {
  /** The optimizer's, laid out like the weights. */
  readonly moments: Optimizer['moments'];
  /** Fingerprint of the teacher, if there is one. */
  readonly teacher: Float32Array | undefined;
}

const teacherName = 'teacher.fingerprint';

/** Every tensor that defines a run: weights, running statistics, the state of the method, and the optimizer's moments. */
export async function saveState(device: Device, network: Network, { moments, teacher }: Held): Promise<Tensors> {
  const tensors: Tensors = await network.parameters.read();
  for (const [prefix, buffer] of shapedAsWeights(network, moments)) {
    const values = new Float32Array(await device.read(buffer));
    for (const { name, shape, offset, length } of network.parameters.places)
      tensors.set(`${prefix}.${name}`, { shape, data: values.slice(offset, offset + length) });
  }
  for (const [name, queue] of Object.entries(network.queues))
    tensors.set(name, { shape: queue.shape, data: new Float32Array(await device.read(queue)) });
  if (teacher) tensors.set(teacherName, { shape: [teacher.length], data: teacher.slice() });
  return tensors;
}

/**
 * @throws DataError listing every tensor that is missing, extra or of another shape, or saying that the teacher differs
 */
export function checkLoad(network: Network, { moments, teacher }: Held, tensors: Tensors): void {
  const { parameters, queues } = network;
  const { shapes, places } = parameters;
  const buffers = shapedAsWeights(network, moments);
  const expected = new Map<string, readonly number[]>([
    ...shapes,
    ...buffers.flatMap(([prefix]) => places.map(({ name, shape }) => [`${prefix}.${name}`, shape] as const)),
    ...Object.entries(queues).map(([name, { shape }]) => [name, shape] as const),
    ...(teacher ? [[teacherName, [teacher.length]] as const] : []),
  ]);
  const taught = tensors.get(teacherName)?.data;
  // first: a teacher with other features changes tensor shapes too, and that message would say less
  if (taught && teacher?.some((value, i) => value !== taught[i]))
    throw new DataError(
      'checkpoint: the run learns from another teacher; resume with the encoder (--teacher) that it began with',
    );
  checkState(tensors, expected, 'checkpoint');
}

/** Loads the result of `saveState`, after `checkLoad`. */
export async function loadState(
  device: Device,
  network: Network,
  { moments }: Pick<Held, 'moments'>,
  tensors: Tensors,
): Promise<void> {
  const { parameters, queues } = network;
  const { places } = parameters;
  const saved = (name: string) => (tensors.get(name) as { data: Float32Array }).data;
  const own = parameters.shapes;
  parameters.load(new Map([...tensors].filter(([name]) => own.has(name))), 'checkpoint');
  for (const [prefix, buffer] of shapedAsWeights(network, moments))
    for (const { name, offset } of places) device.write(buffer, saved(`${prefix}.${name}`), offset * 4);
  for (const [name, queue] of Object.entries(queues)) device.write(queue, saved(name));
  await device.settled();
}
