import { parseConfig, type TrainConfig } from './config.js';
import type { ImageSource, Picture } from './data/source.js';
import { backbone, type EncoderSpec } from './encoders/backbone.js';
import type { Encoder } from './encoders/encoder.js';
import { ConfigError, DataError, SlimgradError } from './errors.js';
import { featuresOf, type WeightedEncoder } from './eval/features.js';
import { checkState } from './io/checkpoint.js';
import { readSafetensors, toFloat32 } from './io/safetensors.js';
import { Parameters, type Tensors, type Width } from './parameters.js';
import type { Device } from './runtime/device.js';

/** A trained backbone, ready to embed pictures by its running statistics. Free it by `dispose()`. */
export class ImageEncoder implements WeightedEncoder {
  /** F, the length of an embedding. */
  readonly features: number;
  /** Side of the squares that pictures are resized and cropped to. */
  readonly imageSize: number;
  readonly backbone: Encoder;
  readonly parameters: Parameters;
  readonly #device: Device;

  /** @throws DataError that lists every tensor of `state` that is missing, extra or of another shape. */
  constructor(
    device: Device,
    spec: EncoderSpec & { readonly imageSize: number },
    state: Tensors,
    part: Width = 'slim',
    file = 'encoder',
  ) {
    this.#device = device;
    this.backbone = part === 'host' ? backbone(spec) : backbone({ ...spec, ratio: 1 });
    const { parameters, statistics, features } = this.backbone;
    const shapes = new Map<string, readonly number[]>([
      ...parameters.map(({ name, shape }) => [name, shape] as const),
      ...statistics.map(({ name, channels }) => [name, [channels.host]] as const),
    ]);
    checkState(state, shapes, file);
    this.features = features.host;
    this.imageSize = spec.imageSize;
    this.parameters = new Parameters(device, parameters, statistics, { split: false });
    const tracked = new Set(statistics.map(({ name }) => name));
    for (const [name, { data }] of state) this.parameters.write(tracked.has(name) ? `host.${name}` : name, data);
  }

  /**
   * Embeddings (N, F) of N pictures, row by row: resized, centre-cropped, normalised by ImageNet's statistics.
   *
   * @throws DataError where a picture cannot be had or its bytes are not what its sides say
   */
  async embed(images: ImageSource | readonly Picture[]): Promise<Float32Array> {
    if (typeof images !== 'object' || images === null || !('length' in images))
      throw new ConfigError(`embed: expected pictures, or a source of them as openImageFolder() gives, got ${images}`);
    const source = 'load' in images ? images : pictureSource(images);
    return featuresOf(this.#device, this, source);
  }

  dispose(): void {
    this.parameters.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * An encoder from the bytes of a run's `slim.safetensors` or `host.safetensors`.
 *
 * @param file the name for error messages
 * @throws DataError where the file is damaged or not one of slimgrad's
 */
export function openEncoder(device: Device, bytes: Uint8Array, file = 'encoder'): ImageEncoder {
  const { tensors, metadata } = readSafetensors(bytes, file);
  const { config, part } = encoderMetadata(metadata, file);
  const state: Tensors = new Map([...tensors].map(([name, t]) => [name, { shape: t.shape, data: toFloat32(t, name) }]));
  return new ImageEncoder(device, config, state, part, file);
}

/** The run's configuration and the part, host or slim, that an encoder's file names. */
export function encoderMetadata(
  metadata: Readonly<Record<string, string>>,
  file: string,
): { config: TrainConfig; part: Width } {
  const { format, part, config } = metadata;
  if (format !== 'slimgrad encoder 1' || (part !== 'host' && part !== 'slim') || !config)
    throw new DataError(
      `${file}: expected an encoder of slimgrad (format "slimgrad encoder 1"), got ${format ? `"${format}"` : 'no format'}; ` +
        'give the slim.safetensors or host.safetensors of a run folder',
    );
  let raw: unknown;
  try {
    raw = JSON.parse(config);
  } catch (cause) {
    throw new DataError(`${file}: its configuration is not JSON`, { cause });
  }
  try {
    return { config: parseConfig(raw), part };
  } catch (cause) {
    throw cause instanceof SlimgradError
      ? new DataError(`${file}: its configuration: ${cause.message}`, { cause })
      : cause;
  }
}

function pictureSource(pictures: readonly Picture[]): ImageSource {
  return { name: 'pictures', length: pictures.length, pictures: 1, load: async (item) => pictures[item] };
}
