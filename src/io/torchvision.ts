import type { Encoder } from '../encoders/encoder.js';
import { Parameters, type Tensors } from '../parameters.js';
import type { Device } from '../runtime/device.js';
import { checkState } from './checkpoint.js';
import { type SavedTensor, toTensors } from './safetensors.js';

/** What a state dict holds beside the backbone: its classifier, and counters that nothing here reads. */
const notBackbone = /^(classifier(\.\d+)?|fc)\.(weight|bias)$|\.num_batches_tracked$/;

/**
 * The backbone in a state dict of torchvision: all but the classifier and the counters of batches. Names stay as they are.
 *
 * @throws DataError where a tensor is neither F32 nor F16
 */
export function backboneState(tensors: ReadonlyMap<string, SavedTensor>): Tensors {
  return toTensors([...tensors].filter(([name]) => !notBackbone.test(name)));
}

/**
 * @throws DataError, in the file's name, that lists every tensor of `state` that is missing, extra or of another shape than
 * those of `encoder` as a lone network of the host's width
 */
export function checkBackbone({ parameters, statistics }: Encoder, state: Tensors, file: string): void {
  const shapes = new Map<string, readonly number[]>([
    ...parameters.map(({ name, shape }) => [name, shape] as const),
    ...statistics.map(({ name, channels }) => [name, [channels.host]] as const),
  ]);
  checkState(state, shapes, file);
}

/**
 * Parameters of `encoder`, as a lone network of the host's width, filled with `state`. Free them by `dispose()`.
 *
 * @param file the name for error messages
 * @throws DataError that lists every tensor of `state` that is missing, extra or of another shape; nothing is allocated then
 */
export function backboneParameters(device: Device, encoder: Encoder, state: Tensors, file: string): Parameters {
  checkBackbone(encoder, state, file);
  const { parameters, statistics } = encoder;
  const filled = new Parameters(device, parameters, statistics, { bn: 'shared' });
  const tracked = new Set(statistics.map(({ name }) => name));
  for (const [name, { data }] of state) filled.write(tracked.has(name) ? `host.${name}` : name, data);
  return filled;
}
