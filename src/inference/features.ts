// A trained encoder as evaluation uses it, and the features of a source of images.
import { expectArguments } from '../checks/arguments.js';
import type { Parameters } from '../core/parameters.js';
import { Tape } from '../core/tape.js';
import { Loader, mostSquares } from '../data/loader.js';
import type { SquareOptions } from '../data/source.js';
import { checkSource, type ImageSource } from '../data/source.js';
import { squares } from '../data/squares.js';
import { checkEncoder, type Encoder } from '../encoders/encoder.js';
import { ConfigError } from '../errors.js';
import { centerCrop, imagenetStatistics } from '../ops/augment.js';
import type { Device } from '../runtime/device.js';
import { Plan } from '../runtime/plan.js';

/** A lone encoder with its weights on a device; an `ImageEncoder` is one. */
export interface WeightedEncoder {
  readonly backbone: Encoder;
  /** Holds the backbone's tensors at its host's width. */
  readonly parameters: Parameters;
  /** Side of the squares that images are resized and cropped to. */
  readonly imageSize: number;
  /** How images become those squares; default: the shorter side resized to `imageSize`, bicubic. */
  readonly square?: SquareOptions;
}

/** @throws ConfigError where images would be smaller than what the encoder shrinks to a single pixel */
export function checkSize(what: string, { backbone, imageSize }: Omit<WeightedEncoder, 'parameters'>): void {
  const { stride } = backbone;
  if (!(Number.isInteger(imageSize) && imageSize >= stride && imageSize <= 1024))
    throw new ConfigError(
      `${what}: expected an imageSize from ${stride}, the encoder's stride, to 1024 pixels, got ${imageSize}`,
    );
}

const most = 64; // images in a batch

/**
 * Features (N, F) of the N images of `source` (the first of each item), row by row: resized and center-cropped as torchvision
 * does with Pillow, normalized by ImageNet's statistics, and passed through the encoder with its running statistics. A row
 * depends on its own image alone.
 *
 * @throws DataError where an image cannot be had or its bytes are not what its sides say
 */
export async function featuresOf(
  device: Device,
  encoder: WeightedEncoder,
  source: ImageSource,
): Promise<Float32Array<ArrayBuffer>> {
  const { backbone, parameters, imageSize, square } = Object(encoder) as WeightedEncoder;
  expectArguments('featuresOf', { device });
  checkEncoder('featuresOf', backbone);
  checkSource(source);
  const { length } = source;
  if (length === 0) return new Float32Array(0);
  const features = backbone.features.host;
  const batch = Math.min(most, mostSquares(imageSize), length);
  const loader = await Loader.open(device, squares(source, imageSize, square), { batch, budget: 0 });
  const plan = new Plan(device, { label: 'features' });
  try {
    const view = centerCrop(plan, loader, { size: imageSize, ...imagenetStatistics });
    const pass = { parameters, width: 'host', training: false, updateStats: false } as const;
    const y = backbone.forward({ ...pass, tape: new Tape(plan, { noGrad: true }) }, view);
    plan.retain(y);
    await plan.compile();
    const rows = new Float32Array(length * features);
    const itemsFrom = (first: number) => Array.from({ length: Math.min(batch, length - first) }, (_, i) => first + i);
    for (let first = 0; first < length; first += batch) {
      const items = itemsFrom(first);
      await loader.show(items);
      plan.run();
      if (first + batch < length) loader.prefetch(itemsFrom(first + batch));
      rows.set((await plan.read(y)).subarray(0, items.length * features), first * features);
    }
    return rows;
  } finally {
    plan.dispose();
    loader.dispose();
  }
}
