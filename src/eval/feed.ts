// The batches that a classifier is trained on: rows of features computed once, or images, augmented or center-cropped.
// It does not know what is trained on them.
import { permutation } from '../core/random.js';
import { Loader, mostSquares } from '../data/loader.js';
import type { ImageSource, SquareOptions } from '../data/source.js';
import { squares } from '../data/squares.js';
import { ConfigError } from '../errors.js';
import { type Augmentation, augment, centerCrop, imagenetStatistics } from '../ops/augment.js';
import type { Plan } from '../runtime/plan.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Batches to learn from, in an order that seed and step alone determine. */
export interface Feed {
  /** Whole batches in an epoch; the remainder may come in another epoch's order. */
  readonly stepsPerEpoch: number;
  readonly batch: number;
  /** What the network sees of a batch, (N, F) or (N, 3, H, W). */
  readonly x: Tensor;
  /** Puts a step's batch in place for the next `plan.run()`, and returns the numbers of the items in it. */
  prepare(step: number): Promise<ArrayLike<number>>;
  /** Begins to decode a step's batch while the GPU works on the one before. */
  prefetch?(step: number): void;
  dispose(): void;
}

export interface FeedOptions {
  readonly batch: number;
  readonly seed: number;
}

/** Feeds those of `rows` (M, F) that `numbers` names. */
export function rowFeed(
  { device }: Plan,
  rows: Float32Array,
  features: number,
  numbers: ArrayLike<number>,
  { batch, seed }: FeedOptions,
): Feed {
  const buffer = device.buffer('feed.rows', batch * features * 4);
  const gathered = new Float32Array(batch * features);
  const stepsPerEpoch = Math.floor(numbers.length / batch);
  let [epoch, order] = [-1, new Uint32Array(0)];
  return {
    batch,
    stepsPerEpoch,
    x: tensor(buffer, 'feed.rows', [batch, features]),
    async prepare(step) {
      if (epoch !== Math.floor(step / stepsPerEpoch)) {
        epoch = Math.floor(step / stepsPerEpoch);
        order = permutation(numbers.length, seed, epoch);
      }
      const first = (step % stepsPerEpoch) * batch;
      const chosen = order.subarray(first, first + batch);
      chosen.forEach((i, n) => {
        const row = numbers[i];
        gathered.set(rows.subarray(row * features, (row + 1) * features), n * features);
      });
      device.write(buffer, gathered);
      return chosen;
    },
    dispose: () => device.release([buffer]),
  };
}

/** Feeds the images of a source, augmented, or center-cropped to `size` where no augmentation is given. */
export async function imageFeed(
  plan: Plan,
  source: ImageSource,
  view: Augmentation | { readonly size: number; readonly square?: SquareOptions | undefined },
  options: FeedOptions,
): Promise<Feed> {
  const isAugmented = 'crop' in view;
  const most = mostSquares(view.size);
  if (!isAugmented && options.batch > most)
    throw new ConfigError(
      `batch: expected at most ${most} images of ${view.size} x ${view.size} pixels, which are 128 MiB, got ${options.batch}`,
    );
  const loader = await Loader.open(
    plan.device,
    isAugmented ? source : squares(source, view.size, view.square),
    options,
  );
  return {
    batch: options.batch,
    stepsPerEpoch: loader.stepsPerEpoch,
    x: isAugmented
      ? augment(plan, loader, 0, view)
      : centerCrop(plan, loader, { size: view.size, ...imagenetStatistics }),
    async prepare(step) {
      await loader.prepare(step);
      return loader.batchAt(step);
    },
    prefetch: (step) => loader.prefetch(step),
    dispose: () => loader.dispose(),
  };
}

/** The augmentation of supervised training: a random crop, resized, and a flip. */
export function cropAndFlip(size: number, cropMin: number, flip: number): Augmentation {
  return {
    size,
    crop: { scale: [cropMin, 1], ratio: [3 / 4, 4 / 3] },
    flip,
    jitter: { p: 0, brightness: 0, contrast: 0, saturation: 0, hue: 0 },
    grayscale: 0,
    blur: { p: 0, sigma: [0.1, 2], window: 1 },
    solarize: 0,
    ...imagenetStatistics,
  };
}
