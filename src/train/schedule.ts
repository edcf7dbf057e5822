// The length of a run and its learning rate schedule.
import type { ImageSource } from '../data/source.js';
import { ConfigError } from '../errors.js';
import type { Rates } from '../optim/schedule.js';

/** The largest number of a step: a u32 in the kernels. */
export const mostSteps = 2 ** 32 - 1;

/** The length of a run and its learning rate schedule, once the number of training images is known. */
export interface Schedule extends Rates {
  /** Steps in all. */
  readonly steps: number;
  readonly stepsPerEpoch: number;
  /** Steps of linear warm-up. */
  readonly warmup: number;
  /** Learning rate at the end of warm-up: `lr` x batch / 256. */
  readonly peak: number;
}

/** What a schedule is made of; a run's length is given in epochs or in steps. */
export interface Length {
  readonly batch: number;
  readonly epochs?: number | null;
  readonly steps?: number | null;
  /** Default 10 epochs, at most 10 % of the steps. */
  readonly warmup?: number | null;
  /** For a batch of 256. */
  readonly lr: number;
}

/**
 * Steps, steps per epoch, warm-up and peak learning rate of a run on `images`; a last partial batch is dropped.
 *
 * @throws ConfigError if there are fewer images than a batch, too many steps, or fewer than the warm-up
 */
export function scheduleOf(
  { batch, epochs, steps: counted, warmup: asked, lr }: Length,
  { length, name }: Pick<ImageSource, 'length' | 'name'>,
): Schedule {
  const stepsPerEpoch = Math.floor(length / batch);
  if (stepsPerEpoch < 1) {
    throw new ConfigError(
      `batch (--batch): expected at most the ${length} training images of ${show(name)}, got ${batch}. ` +
        `Give a smaller batch, or more images.`,
    );
  }
  const steps = counted ?? (epochs ?? defaultEpochs) * stepsPerEpoch;
  if (steps > mostSteps) {
    throw new ConfigError(`epochs (--epochs): expected at most ${mostSteps} steps in all, got ${steps}. Give fewer.`);
  }
  const warmup = asked ?? Math.min(10 * stepsPerEpoch, Math.floor(steps / 10));
  if (warmup > steps) {
    throw new ConfigError(`warmup (--warmup): expected at most the run's ${steps} steps, got ${warmup}`);
  }
  return { steps, stepsPerEpoch, warmup, peak: (lr * batch) / 256 };
}

/** Of a run whose length is not given. */
export const defaultEpochs = 100;

/** Formats a value for messages. */
export function show(value: unknown): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  const json = JSON.stringify(value) ?? typeof value;
  return json.length > 60 ? `${json.slice(0, 57)}...` : json;
}
