// State dicts of torchvision and of programs that use its names, for the encoders here.
import type { EncoderName } from '../config/encoders.js';
import { Parameters } from '../core/parameters.js';
import type { Tensors } from '../core/state.js';
import type { Encoder } from '../encoders/encoder.js';
import { checkState } from '../formats/checkpoint.js';
import { type SavedTensor, toTensors } from '../formats/safetensors.js';
import type { Device } from '../runtime/device.js';
import { type Naming, shapesOf } from './state_dict.js';
import { timmNaming } from './timm.js';

/** Tensors of a state dict that are not the backbone's: its classifier, and counters that are not read here. */
const notBackbone = /^(classifier(\.\d+)?|fc)\.(weight|bias)$|\.num_batches_tracked$/;

/**
 * The backbone in a state dict of torchvision: all but the classifier and the counters of batches. Names stay as they are.
 *
 * @throws DataError where a tensor is of a type that cannot be used
 */
export function backboneState(tensors: ReadonlyMap<string, SavedTensor>): Tensors {
  return toTensors([...tensors].filter(([name]) => !notBackbone.test(name)));
}

/**
 * @throws DataError, in the file's name, that lists every tensor of `state` that is missing, extra or of another shape than
 * those of `encoder` as a lone network of the host's width
 */
export function checkBackbone(encoder: Encoder, state: Tensors, file: string): void {
  checkState(state, shapesOf(encoder), file);
}

/**
 * Parameters of `encoder`, as a lone network of the host's width, filled with `state`. Free them by `dispose()`.
 *
 * @param file the name for error messages
 * @throws DataError that lists every tensor of `state` that is missing, extra, of another shape or not finite
 */
export function backboneParameters(device: Device, encoder: Encoder, state: Tensors, file: string): Parameters {
  checkBackbone(encoder, state, file);
  const { parameters, statistics } = encoder;
  const filled = new Parameters(device, parameters, statistics, { bn: 'shared' });
  const tracked = new Set(statistics.map(({ name }) => name));
  try {
    filled.load(new Map([...state].map(([name, tensor]) => [tracked.has(name) ? `host.${name}` : name, tensor])), file);
  } catch (error) {
    filled.dispose();
    throw error;
  }
  return filled;
}

/** torchvision's parts of a ResNet in their order, as `nn.Sequential(*model.children())` counts them; some have no tensors. */
const children = ['conv1', 'bn1', 'relu', 'maxpool', 'layer1', 'layer2', 'layer3', 'layer4'];

/** How tensors are named where a network's parts were put into an nn.Sequential, as frameworks of self-supervised learning do. */
const counted: Naming = {
  rename: (name) => name.replace(/^[^.]+/, (part) => String(part === 'features' ? 0 : children.indexOf(part))),
};

/** Naming schemes of other programs for an encoder's tensors, besides torchvision's. */
export function namingsOf(encoder: EncoderName): readonly Naming[] {
  const timm = timmNaming(encoder);
  const known = encoder !== 'resnet20' && encoder !== 'mobilenet_v1'; // torchvision has neither
  return [...(known ? [counted] : []), ...(timm ? [timm] : [])];
}
