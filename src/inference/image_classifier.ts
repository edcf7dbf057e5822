// Classifies images by a trained encoder and its linear classifier.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import { Parameters } from '../core/parameters.js';
import type { ImageLike, ImageSource } from '../data/source.js';
import { ConfigError, DataError, NonFiniteError } from '../errors.js';
import { largestOf } from '../metrics/classification.js';
import { type Classifier, classifier, logitsOf } from '../nn/classifier.js';
import type { Module } from '../nn/module.js';
import type { Device } from '../runtime/device.js';
import { checkClassifier, type EncoderFile, type ReadEncoderOptions, readEncoder, readKinds } from './encoder_file.js';
import { ImageEncoder } from './image_encoder.js';

/** What N images were taken for. */
export interface Classified {
  /** The most probable class of each, by its number, (N). */
  readonly labels: Int32Array<ArrayBuffer>;
  /** The probability of every class, (N, K) row by row. */
  readonly probabilities: Float32Array<ArrayBuffer>;
}

/** A trained encoder with a linear layer behind it, ready to classify images. Free it by `dispose()`. */
export class ImageClassifier {
  readonly encoder: ImageEncoder;
  /** Names of the K classes. */
  readonly classes: readonly string[];
  readonly #device: Device;
  readonly #head: Module;
  readonly #parameters: Parameters;

  /**
   * @param encoder is disposed of with the classifier
   * @param classifier of as many features as the encoder has
   */
  constructor(device: Device, encoder: ImageEncoder, layer: Classifier) {
    expectArguments('ImageClassifier', { device });
    if (!(encoder instanceof ImageEncoder))
      throw new ConfigError(`ImageClassifier: expected an ImageEncoder, got ${textOf(encoder)}`);
    checkClassifier(layer, encoder.features, 'ImageClassifier');
    const { classes, state } = layer;
    this.#device = device;
    this.encoder = encoder;
    this.classes = classes;
    this.#head = classifier(encoder.features, classes.length);
    this.#parameters = new Parameters(device, this.#head.parameters, [], { bn: 'shared' });
    for (const [name, { data }] of state) this.#parameters.write(name, data);
  }

  /**
   * Classifies N images: resized, center-cropped, normalized by ImageNet's statistics.
   *
   * @throws DataError where an image cannot be had or its bytes are not what its sides say; NonFiniteError where the weights
   * give a NaN
   */
  async classify(images: ImageSource | readonly ImageLike[]): Promise<Classified> {
    const { features } = this.encoder;
    const rows = (await this.encoder.embed(images)) as Float32Array<ArrayBuffer>;
    const N = rows.length / features;
    const K = this.classes.length;
    const labels = new Int32Array(N);
    if (N === 0) return { labels, probabilities: new Float32Array(0) };
    const probabilities = await logitsOf(this.#device, this.#head, this.#parameters, rows, features);
    for (let n = 0; n < N; n++) {
      const row = probabilities.subarray(n * K, (n + 1) * K);
      labels[n] = softmaxInPlace(row, n);
    }
    return { labels, probabilities };
  }

  dispose(): void {
    this.#parameters.dispose();
    this.encoder.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Logits become probabilities. Returns the class of the largest, of equal ones the first. */
function softmaxInPlace(row: Float32Array, n: number): number {
  const label = largestOf(row);
  const most = row[label];
  const powers = Float64Array.from(row, (value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  if (!Number.isFinite(sum))
    throw new NonFiniteError(`classify: the logits of image ${n} hold a NaN or infinity; the weights are of no use`);
  for (let k = 0; k < row.length; k++) row[k] = powers[k] / sum;
  return label;
}

/**
 * What is in the bytes of a classifier's file. It needs no GPU.
 *
 * @throws DataError as `openClassifier`
 */
export function readClassifier(
  bytes: Uint8Array,
  options: ReadEncoderOptions = {},
): EncoderFile & { readonly classifier: Classifier } {
  const { encoder: network, file = 'classifier' } = expectOptions('readClassifier', options, readKinds);
  const { classifier, ...encoder } = readEncoder(bytes, { encoder: network, file });
  if (classifier) return { ...encoder, classifier };
  throw new DataError(
    `${file}: expected a classifier behind the encoder, got an encoder alone; ` +
      'train one on labeled images by slimgrad finetune or slimgrad linear',
  );
}

/**
 * A classifier from the bytes of a file that `slimgrad finetune` or `slimgrad linear` wrote, or `writeEncoder` with a classifier:
 * behind an encoder of a program's own with `{ encoder }`.
 *
 * @throws DataError as `readEncoder`, or where there is an encoder alone
 */
export function openClassifier(device: Device, bytes: Uint8Array, options: ReadEncoderOptions = {}): ImageClassifier {
  const read = readClassifier(bytes, options);
  return new ImageClassifier(device, new ImageEncoder(device, read), read.classifier);
}
