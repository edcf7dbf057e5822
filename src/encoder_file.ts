import { parseConfig, type TrainConfig } from './config.js';
import { backbone } from './encoders/backbone.js';
import type { Encoder } from './encoders/encoder.js';
import { DataError, SlimgradError } from './errors.js';
import { classifierShapes } from './eval/head.js';
import { checkState } from './io/checkpoint.js';
import { f32, readSafetensors, type SavedTensor, toTensors, writeSafetensors } from './io/safetensors.js';
import { backboneState, checkBackbone } from './io/torchvision.js';
import type { Tensors, Width } from './parameters.js';

const format = 'slimgrad encoder 1';

/** A linear layer that tells classes apart by an encoder's features (N, F). */
export interface Classifier {
  /** Their names, K of them. */
  readonly classes: readonly string[];
  /** `classifier.weight` (K, F) and `classifier.bias` (K). */
  readonly state: Tensors;
}

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
  /** The layer behind it, where it was trained with labels. */
  readonly classifier?: Classifier;
  /** All of the file's metadata, as text. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * The bytes of an encoder's file. A model of torchvision without its classifier loads it strictly: to that end every batchnorm
 * has its count of batches, `num_batches_tracked`, which is the steps of training.
 *
 * @param state the encoder's tensors, and a classifier's where there is one
 * @param metadata `part`, `step` and `config` as `readEncoder` gives them, `classes` (a JSON array of names) with a classifier,
 * and whatever else is worth keeping
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
  const classifier = classifierOf(tensors, metadata, encoder.features.host, file);
  return { ...about, encoder, state, ...(classifier && { classifier }), metadata };
}

function classifierOf(
  tensors: ReadonlyMap<string, SavedTensor>,
  { classes: text }: EncoderFile['metadata'],
  features: number,
  file: string,
): Classifier | undefined {
  const found = [...tensors].filter(([name]) => name.startsWith('classifier.'));
  if (found.length === 0) return undefined;
  const state = toTensors(found, file);
  const count = state.get('classifier.bias')?.shape[0] ?? 0;
  checkState(state, classifierShapes(features, count), file);
  const classes = text === undefined ? Array.from({ length: count }, (_, k) => String(k)) : parseNames(text);
  if (classes?.length !== count)
    throw new DataError(
      `${file}: expected the names of its classifier's ${count} classes as a JSON array under "classes" of its metadata, ` +
        `got ${text}`,
    );
  return { classes, state };
}

function parseNames(text: string): string[] | undefined {
  try {
    const names: unknown = JSON.parse(text);
    return Array.isArray(names) && names.every((name) => typeof name === 'string') ? names : undefined;
  } catch {
    return undefined;
  }
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
