import { parseConfig, type TrainConfig } from './config.js';
import { backbone } from './encoders/backbone.js';
import type { Encoder } from './encoders/encoder.js';
import { DataError, SlimgradError } from './errors.js';
import { f32, readSafetensors, type SavedTensor, writeSafetensors } from './io/safetensors.js';
import { backboneState, checkBackbone } from './io/torchvision.js';
import type { Tensors, Width } from './parameters.js';

const format = 'slimgrad encoder 1';

/** A trained backbone, and the run that it comes from. */
export interface EncoderFile {
  /** The run's settings. */
  readonly config: TrainConfig;
  /** Which of the run's two encoders it is. */
  readonly part: Width;
  /** Steps of training; 0 where the file does not say. */
  readonly step: number;
  /** The encoder by itself: at ratio 1 where it is the slim one. */
  readonly encoder: Encoder;
  /** Its tensors, by torchvision's names. */
  readonly state: Tensors;
  /** All of the file's metadata, as text. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The bytes of an encoder's file. A model of torchvision without its classifier loads it strictly: to that end every batchnorm
 * has its count of batches, `num_batches_tracked`, which is the steps of training.
 *
 * @param metadata `part`, `step` and `config` as `readEncoder` gives them, and whatever else is worth keeping
 */
export function writeEncoder(state: Tensors, metadata: EncoderFile['metadata']): Uint8Array<ArrayBuffer> {
  const tensors: [string, SavedTensor][] = [];
  const batches = BigInt64Array.of(BigInt(metadata.step ?? 0));
  for (const [name, { shape, data }] of state) {
    tensors.push([name, f32(shape, data)]);
    if (name.endsWith('.running_mean'))
      tensors.push([name.replace(/running_mean$/, 'num_batches_tracked'), { dtype: 'I64', shape: [], data: batches }]);
  }
  return writeSafetensors(tensors, { ...metadata, format });
}

/**
 * The encoder in the bytes of a run's `slim.safetensors` or `host.safetensors`. It needs no GPU.
 *
 * @param file the name for error messages
 * @throws DataError where the file is damaged or not one of slimgrad's, or its tensors are not those of its encoder
 */
export function readEncoder(bytes: Uint8Array, file = 'encoder'): EncoderFile {
  const { tensors, metadata } = readSafetensors(bytes, file);
  const about = checkMetadata(metadata, file);
  const encoder = backbone(about.part === 'host' ? about.config : { ...about.config, ratio: 1 });
  const state = backboneState(tensors);
  checkBackbone(encoder, state, file);
  return { ...about, encoder, state, metadata };
}

function checkMetadata(metadata: EncoderFile['metadata'], file: string): Pick<EncoderFile, 'config' | 'part' | 'step'> {
  const { format: found, part, step = '0', config } = metadata;
  if (found !== format || (part !== 'host' && part !== 'slim') || !config || !/^\d{1,15}$/.test(step))
    throw new DataError(
      `${file}: expected an encoder of slimgrad (format "${format}"), got ${found ? `"${found}"` : 'no format'}; ` +
        'give the slim.safetensors or host.safetensors of a run folder; state dicts of torchvision are for embed --encoder',
    );
  let raw: unknown;
  try {
    raw = JSON.parse(config);
  } catch (cause) {
    throw new DataError(`${file}: its configuration is not JSON`, { cause });
  }
  try {
    return { config: parseConfig(raw), part, step: Number(step) };
  } catch (cause) {
    throw cause instanceof SlimgradError
      ? new DataError(`${file}: its configuration: ${cause.message}`, { cause })
      : cause;
  }
}
