import type { Parameters } from '../core/parameters.js';
import { permutation } from '../core/random.js';
import type { Tape } from '../core/tape.js';
import { Loader, mostSquares } from '../data/loader.js';
import type { ImageSource, SquareOptions } from '../data/source.js';
import { squares } from '../data/squares.js';
import { ConfigError, NonFiniteError } from '../errors.js';
import { type Augmentation, augment, centerCrop, imagenetStatistics } from '../ops/augment.js';
import { softmaxCrossEntropy } from '../ops/softmax.js';
import { type SgdOptions, sgd } from '../optim/sgd.js';
import type { Plan } from '../runtime/plan.js';
import { Readback } from '../runtime/readback.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Batches to learn from, in an order that seed and step alone determine. */
export interface Feed {
  /** Whole batches in an epoch; what is left over waits for another order. */
  readonly stepsPerEpoch: number;
  readonly batch: number;
  /** What the network sees of a batch, (N, F) or (N, 3, H, W). */
  readonly x: Tensor;
  /** Puts a step's batch in place for the next `plan.run()`, and tells which of those that are fed it holds. */
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

/** A pass over the training images, in figures. */
export interface EpochLog {
  /** From 1. */
  readonly epoch: number;
  /** The learning rate of its last step. */
  readonly lr: number;
  /** Mean cross-entropy of its batches, each before its update. */
  readonly loss: number;
}

export interface FitOptions {
  /** For messages. */
  readonly what: string;
  readonly epochs: number;
  readonly seed: number;
  /** The learning rate of a step of a run of `steps`. */
  readonly rate: (step: number, steps: number) => number;
  readonly onEpoch?: ((log: EpochLog) => void) | undefined;
}

/**
 * Records the cross-entropy of `logits`, its gradients and an update of `parameters` by SGD, compiles the plan, and runs it
 * for some epochs. `labels` are those of the numbers that the feed gives.
 *
 * @throws NonFiniteError as soon as the loss is NaN or infinite
 */
export async function fit(
  plan: Plan,
  tape: Tape,
  { feed, logits, labels }: { feed: Feed; logits: Tensor; labels: ArrayLike<number> },
  parameters: Parameters,
  descent: SgdOptions,
  { what, epochs, seed, rate, onEpoch }: FitOptions,
): Promise<EpochLog[]> {
  const { device } = plan;
  const { batch, stepsPerEpoch } = feed;
  const targets = device.buffer('fit.targets', batch * 4);
  const loss = softmaxCrossEntropy(tape, logits, tensor(targets, 'targets', [batch], 0, 'u32'));
  plan.retain(loss);
  plan.clear({ storage: parameters.grads, offset: 0, bytes: parameters.size * 4 });
  tape.backward(loss);
  const optimizer = sgd(plan, parameters, { decayAll: false, ...descent });
  // Two, so that the GPU has the next step before the log of this one is waited for.
  const readbacks: Readback<'loss'>[] = [];
  let before: Promise<{ loss: Float32Array }> | undefined;
  try {
    await plan.compile();
    const range = { ...plan.resolve(loss), bytes: 4 };
    for (const label of ['fit.loss0', 'fit.loss1']) readbacks.push(new Readback(device, label, { loss: range }));
    const steps = epochs * stepsPerEpoch;
    const logs: EpochLog[] = [];
    let sum = 0;
    const take = (step: number, [value]: Float32Array) => {
      if (!Number.isFinite(value))
        throw new NonFiniteError(`${what}: the loss of step ${step + 1} is ${value}; give a lower learning rate`);
      sum += value;
      if ((step + 1) % stepsPerEpoch > 0) return;
      logs.push({ epoch: logs.length + 1, lr: rate(step, steps), loss: sum / stepsPerEpoch });
      onEpoch?.(logs[logs.length - 1]);
      sum = 0;
    };
    for (let step = 0; step < steps; step++) {
      const items = await feed.prepare(step);
      device.write(
        targets,
        Uint32Array.from(items, (item) => labels[item]),
      );
      plan.run({ step, seed, lr: rate(step, steps) });
      const last = before;
      before = readbacks[step % 2].snapshot();
      before.catch(() => undefined); // told when it is waited for
      if (step + 1 < steps) feed.prefetch?.(step + 1);
      if (last) take(step - 1, (await last).loss);
    }
    if (before) take(steps - 1, (await before).loss);
    return logs;
  } finally {
    await before?.catch(() => undefined); // none may still be under way when its memory goes
    for (const readback of readbacks) readback.dispose();
    optimizer.dispose();
    device.release([targets]);
  }
}
