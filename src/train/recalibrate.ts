// Re-estimates batchnorm statistics from images, as PyTorch with momentum None.
import { expectOptions, type Kinds } from '../checks/options.js';
import type { Parameters, Width } from '../core/parameters.js';
import { Tape } from '../core/tape.js';
import { Loader, mostSquares } from '../data/loader.js';
import type { ImageSource, SquareOptions } from '../data/source.js';
import { squares } from '../data/squares.js';
import { ConfigError, DataError } from '../errors.js';
import type { Module } from '../nn/module.js';
import { centerCrop, imagenetStatistics } from '../ops/augment.js';
import type { Device } from '../runtime/device.js';
import { Plan } from '../runtime/plan.js';

/** What is recalibrated: the batchnorms of a part of a network, at the width of one encoder. */
export interface Recalibrated {
  readonly module: Module;
  readonly parameters: Parameters;
  readonly width: Width;
}

export interface RecalibrateOptions {
  /** Images in a batch; fewer if there are fewer, or if a batch would exceed 128 MiB. */
  batch?: number;
  /** How images are made square, as in `WeightedEncoder`. */
  square?: SquareOptions;
}

const recalibrateOptions: Kinds<RecalibrateOptions> = { batch: 'number', square: 'object' };

/**
 * Re-estimates running statistics from images: each becomes the mean, over batches of the same size, of the batch's mean or
 * unbiased variance, as PyTorch's BatchNorm with momentum None has it. Forward passes in training mode; weights do not change.
 * Images are resized and center-cropped, as for an embedding; an incomplete last batch is dropped. Of items with several
 * images the first is used: `eachImage()` makes an item of each.
 *
 * @param size side of the input images, in pixels
 * @throws DataError if there are fewer than two images, or one cannot be loaded: the statistics then stay unchanged
 */
export async function recalibrate(
  device: Device,
  { module, parameters, width }: Recalibrated,
  images: ImageSource,
  size: number,
  options: RecalibrateOptions = {},
): Promise<void> {
  const { batch = 64, square = {} } = expectOptions('recalibrate', options, recalibrateOptions);
  if (!(Number.isInteger(batch) && batch >= 2))
    throw new ConfigError(`recalibrate: expected a whole batch of at least 2, got ${batch}`);
  if (images.length < 2)
    throw new DataError(`${images.name}: has ${images.length} images; statistics need two at least`);
  const loader = await Loader.open(device, squares(images, size, square), {
    batch: Math.min(batch, mostSquares(size), images.length),
    budget: 0,
  });
  const plan = new Plan(device, { label: 'recalibrate' });
  const before = new Float32Array(await device.read(parameters.stats));
  try {
    const view = centerCrop(plan, loader, { size, ...imagenetStatistics });
    // with momentum 1 a pass stores exactly the batch's statistics
    const pass = { parameters, width, training: true, updateStats: true, momentum: 1 };
    module.forward({ ...pass, tape: new Tape(plan, { noGrad: true }) }, view);
    await plan.compile();
    const places = module.statistics.flatMap(({ name }) => [...parameters.elements(name, width).at]);
    device.write(parameters.stats, new Float32Array(before.length)); // old values, even NaN, must have no effect
    const sums = new Float64Array(before.length);
    const batches = Math.floor(images.length / loader.batch);
    const itemsOf = (b: number) => Array.from({ length: loader.batch }, (_, i) => b * loader.batch + i);
    for (let b = 0; b < batches; b++) {
      await loader.show(itemsOf(b));
      plan.run();
      if (b + 1 < batches) loader.prefetch(itemsOf(b + 1));
      const values = new Float32Array(await device.read(parameters.stats));
      for (const at of places) sums[at] += values[at] / batches;
    }
    const after = before.slice();
    for (const at of places) after[at] = sums[at];
    device.write(parameters.stats, after);
  } catch (error) {
    device.write(parameters.stats, before);
    throw error;
  } finally {
    plan.dispose();
    loader.dispose();
  }
}
