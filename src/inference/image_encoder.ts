import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import { backbone, type EncoderName } from '../config/encoders.js';
import type { Parameters } from '../core/parameters.js';
import type { Tensors } from '../core/state.js';
import { checkSquare } from '../data/resize.js';
import type { ImageSource, Interpolation, PictureLike, SquareOptions } from '../data/source.js';
import { checkEncoder, type Encoder } from '../encoders/encoder.js';
import { ConfigError, DataError } from '../errors.js';
import { readSafetensors } from '../formats/safetensors.js';
import type { Device } from '../runtime/device.js';
import { recalibrate } from '../train/recalibrate.js';
import { type EncoderFile, type ReadEncoderOptions, readEncoder } from './encoder_file.js';
import { checkSize, featuresOf, type WeightedEncoder } from './features.js';
import { findState } from './state_dict.js';
import { backboneParameters, namingsOf } from './torchvision.js';

/** A trained backbone, ready to embed pictures by its running statistics. Free it by `dispose()`. */
export class ImageEncoder implements WeightedEncoder {
  /** F, the length of an embedding. */
  readonly features: number;
  /** Side of the squares that pictures are resized and cropped to. */
  readonly imageSize: number;
  /** How pictures become those squares. */
  readonly square: SquareOptions;
  readonly backbone: Encoder;
  readonly parameters: Parameters;
  readonly #device: Device;

  /**
   * @param file an encoder and its tensors, as `readEncoder` gives them, or made by hand: of a two-wide network the host
   * @throws DataError that lists every tensor of the state that is missing, extra or of another shape; ConfigError where there
   * is no encoder, or pictures would be smaller than the encoder's stride
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
   * Embeddings (N, F) of N pictures, row by row: resized, centre-cropped, normalised by ImageNet's statistics. A picture's
   * embedding does not depend on those beside it.
   *
   * @throws DataError where a picture cannot be had or its bytes are not what its sides say
   */
  async embed(images: ImageSource | readonly PictureLike[]): Promise<Float32Array> {
    return featuresOf(this.#device, this, sourceOf('embed', images));
  }

  /**
   * Estimates the running statistics of its batchnorms anew from pictures, as they look to `embed()`: the means over batches of
   * 64 of their statistics (`recalibrate`). Worth it where pictures differ from those of the training.
   *
   * @throws DataError where there are fewer than two pictures, or one cannot be had: it then stays as it was
   */
  async recalibrate(images: ImageSource | readonly PictureLike[]): Promise<void> {
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
 * @throws DataError as `readEncoder`; ConfigError where pictures would be smaller than the encoder's stride
 */
export function openEncoder(device: Device, bytes: Uint8Array, options: ReadEncoderOptions = {}): ImageEncoder {
  return new ImageEncoder(device, readEncoder(bytes, options));
}

/** How a network of torchvision is to be read. */
export interface TorchvisionOptions {
  encoder: EncoderName;
  /** Side of the squares that pictures are resized and cropped to; 224 where left out. */
  imageSize?: number;
  /** What the shorter side is resized to before the square is cut out of the centre; `imageSize` where left out, never less. */
  resize?: number;
  /** How pictures are resized; 'bicubic' where left out. torchvision's own weights were tested with 'bilinear'. */
  interpolation?: Interpolation;
  /** Width multiplier; 1 where left out. */
  width?: number;
  /** Stride of the first convolution; 2, as torchvision's, where left out. */
  stemStride?: number;
  /** What the file's names have before the encoder's, such as `module.encoder_q.`; found where left out. */
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
 * `safetensors.torch.save_file(model.state_dict(), file)` writes it. The encoder may lie in a larger network, whatever its names
 * begin with (`module.`, `backbone.`, `encoder_q.`); the rest, a classifier or a projector, is left out.
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

function sourceOf(what: string, images: ImageSource | readonly PictureLike[]): ImageSource {
  if (typeof images !== 'object' || images === null || !('length' in images))
    throw new ConfigError(
      `${what}: expected pictures, or a source of them as openImageFolder() gives, got ${textOf(images)}`,
    );
  return 'load' in images ? images : pictureSource(images);
}

function pictureSource(pictures: readonly PictureLike[]): ImageSource {
  return { name: 'pictures', length: pictures.length, pictures: 1, load: async (item) => pictures[item] };
}
