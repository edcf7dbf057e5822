// Embeds images by a trained encoder, from slimgrad's files and from torchvision's.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import { backbone, type EncoderName } from '../config/encoders.js';
import type { Parameters } from '../core/parameters.js';
import type { Tensors } from '../core/state.js';
import { checkSquare } from '../data/resize.js';
import type { ImageLike, ImageSource, Interpolation, SquareOptions } from '../data/source.js';
import { checkEncoder, type Encoder } from '../encoders/encoder.js';
import { ConfigError, DataError } from '../errors.js';
import { readSafetensors } from '../formats/safetensors.js';
import type { Device } from '../runtime/device.js';
import { recalibrate } from '../train/recalibrate.js';
import { type EncoderFile, type ReadEncoderOptions, readEncoder } from './encoder_file.js';
import { checkSize, featuresOf, type WeightedEncoder } from './features.js';
import { findState } from './state_dict.js';
import { backboneParameters, namingsOf } from './torchvision.js';

/** A trained backbone, ready to embed images by its running statistics. Free it by `dispose()`. */
export class ImageEncoder implements WeightedEncoder {
  /** F, the length of an embedding. */
  readonly features: number;
  /** Side of the squares that images are resized and cropped to. */
  readonly imageSize: number;
  /** How images become those squares. */
  readonly square: SquareOptions;
  readonly backbone: Encoder;
  readonly parameters: Parameters;
  readonly #device: Device;

  /**
   * @param file an encoder and its tensors, as `readEncoder` gives them, or made by hand: of a two-wide network the host
   * @throws DataError that lists every tensor of the state that is missing, extra or of another shape; ConfigError where there
   * is no encoder, or images would be smaller than the encoder's stride
   */
  constructor(device: Device, file: Pick<EncoderFile, 'encoder' | 'state' | 'imageSize' | 'square'>) {
    const { encoder, state, imageSize, square = {} } = Object(file) as typeof file;
    checkEncoder('ImageEncoder', encoder);
    expectArguments('ImageEncoder', { device });
    this.#device = device;
    this.backbone = encoder;
    this.features = encoder.features.host;
    this.imageSize = imageSize;
    this.square = square;
    checkSize('ImageEncoder', this);
    checkSquare(imageSize, square);
    this.parameters = backboneParameters(device, encoder, state, 'ImageEncoder');
  }

  /**
   * Embeddings (N, F) of N images, row by row: resized, center-cropped, normalized by ImageNet's statistics. An image's
   * embedding does not depend on the others in its batch.
   *
   * @throws DataError where an image cannot be had or its bytes are not what its sides say
   */
  async embed(images: ImageSource | readonly ImageLike[]): Promise<Float32Array> {
    return featuresOf(this.#device, this, sourceOf('embed', images));
  }

  /**
   * Re-estimates the running statistics of its batchnorms from images, as they look to `embed()`: the means over batches of
   * 64 of their statistics (`recalibrate`). Worth it where images differ from those of the training.
   *
   * @throws DataError where there are fewer than two images, or one cannot be had: it then stays as it was
   */
  async recalibrate(images: ImageSource | readonly ImageLike[]): Promise<void> {
    const part = { module: this.backbone, parameters: this.parameters, width: 'host' } as const;
    await recalibrate(this.#device, part, sourceOf('recalibrate', images), this.imageSize, { square: this.square });
  }

  /** Its tensors as they are now, by the names of its file. */
  async state(): Promise<Tensors> {
    return this.parameters.state(this.backbone, 'host');
  }

  dispose(): void {
    this.parameters.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * An encoder from the bytes of a run's `slim.safetensors` or `host.safetensors`, or of a fine-tuned one, whose classifier is
 * left out: see `openClassifier`. One of a program's own, as `writeEncoder` made it, is opened with `{ encoder }`.
 *
 * @throws DataError as `readEncoder`; ConfigError where images would be smaller than the encoder's stride
 */
export function openEncoder(device: Device, bytes: Uint8Array, options: ReadEncoderOptions = {}): ImageEncoder {
  return new ImageEncoder(device, readEncoder(bytes, options));
}

/** How a network of torchvision is to be read. */
export interface TorchvisionOptions {
  encoder: EncoderName;
  /** Side of the squares that images are resized and cropped to; default 224. */
  imageSize?: number;
  /** What the shorter side is resized to before the center crop; default `imageSize`, never less. */
  resize?: number;
  /** How images are resized; default 'bicubic'. torchvision's own weights were tested with 'bilinear'. */
  interpolation?: Interpolation;
  /** Width multiplier; default 1. */
  width?: number;
  /** Stride of the first convolution; default 2, as torchvision's. */
  stemStride?: number;
  /** The prefix of the encoder's names in the file, such as `module.encoder_q.`; default: it is found. */
  prefix?: string;
}

export const torchvisionKinds: Kinds<TorchvisionOptions> = {
  encoder: 'string',
  imageSize: 'number',
  resize: 'number',
  interpolation: 'string',
  width: 'number',
  stemStride: 'number',
  prefix: 'string',
};

/**
 * An encoder from the bytes of a safetensors file with a state dict of torchvision, as
 * `safetensors.torch.save_file(model.state_dict(), file)` writes it. The encoder may be part of a larger network, whose names may
 * begin with `module.`, `backbone.`, `encoder_q.` and the like; the rest, a classifier or a projector, is ignored.
 *
 * @param file the name for error messages
 * @throws DataError where the file is damaged, has the encoder's tensors under no prefix or under several, or in other shapes;
 * ConfigError where an option is out of range
 */
export function openTorchvision(
  device: Device,
  bytes: Uint8Array,
  options: TorchvisionOptions,
  file = 'encoder',
): ImageEncoder {
  const {
    encoder,
    imageSize = 224,
    width = 1,
    stemStride = 2,
    prefix,
    ...rest
  } = expectOptions('openTorchvision', options, torchvisionKinds);
  const { tensors, metadata } = readSafetensors(bytes, file);
  if (metadata.format?.startsWith('slimgrad'))
    throw new DataError(
      `${file}: expected a state dict of torchvision, got a file of slimgrad, which names its encoder`,
    );
  const { resize, interpolation } = rest;
  const square = { resize, interpolation };
  const network = backbone({ encoder, width, ratio: 1, stemStride, blocks: null });
  checkSize(encoder, { backbone: network, imageSize });
  checkSquare(imageSize, square);
  const what = width === 1 ? encoder : `${encoder} of width ${width}`;
  const state = findState(network, tensors, { what, namings: namingsOf(encoder), prefix }, file);
  return new ImageEncoder(device, { encoder: network, state, imageSize, square });
}

function sourceOf(what: string, images: ImageSource | readonly ImageLike[]): ImageSource {
  if (typeof images !== 'object' || images === null || !('length' in images))
    throw new ConfigError(
      `${what}: expected images, or a source of them as openImageFolder() gives, got ${textOf(images)}`,
    );
  return 'load' in images ? images : imageSource(images);
}

function imageSource(images: readonly ImageLike[]): ImageSource {
  return { name: 'images', length: images.length, images: 1, load: async (item) => images[item] };
}
