import type { Tensors } from '../core/state.js';
import type { ImageSource } from '../data/source.js';
import { ConfigError } from '../errors.js';
import type { Checkpoint } from '../formats/checkpoint.js';
import { expectMethod, type Method } from '../methods/method.js';
import type { Device } from '../runtime/device.js';
import { factsOf, readRun } from './checkpoint.js';
import { type Settled, settleOptions, type TrainerOptions } from './options.js';
import { type Schedule, scheduleOf } from './schedule.js';

/** A run as it is set up before anything of it is on the device. */
export interface Laid {
  readonly schedule: Schedule;
  readonly options: Settled;
  /** What a checkpoint must match to be resumed by this run. */
  readonly facts: Checkpoint['config'];
  /** Initial weights of an encoder. */
  readonly init: Tensors | undefined;
  /** The checkpoint to resume from. */
  readonly before: Checkpoint | undefined;
}

/**
 * A run of a method on a source of images.
 *
 * @throws ConfigError for options that are invalid or do not match the method and the images; DataError for a checkpoint of
 * another run
 */
export function layOut(device: Device, method: Method, source: ImageSource, given: TrainerOptions): Laid {
  const { resume, init, ...options } = settleOptions(given); // so that their bytes can be freed
  checkMethod(method, given, options.imageSize);
  const schedule = scheduleOf(options, source);
  const facts = factsOf(options, schedule, source, init);
  const before = resume && readRun(resume, facts);
  // another adapter may lack them
  const variants = { ...options.variants, ...(before?.adapter === device.name && before.variants) };
  const began = before && { init: before.config.init ?? null }; // resumed without init: keeps its own
  return { schedule, options: { ...options, variants }, facts: { ...facts, ...began }, init, before };
}

/** Checks the method, and that the options match it. */
function checkMethod(method: Method, { sliceEvery, sliceWarmup }: TrainerOptions, imageSize: number): void {
  expectMethod('Trainer', method);
  const { encoders, sliced } = method;
  const stride = Math.max(encoders.host.stride, encoders.slim.stride);
  if (imageSize < stride)
    throw new ConfigError(
      `Trainer: expected an imageSize of at least the encoder's stride, ${stride}, got ${imageSize}; ` +
        'use larger images, or an encoder of fewer strides',
    );
  const lists = sliced && sliced.slice === 'l1';
  for (const [name, value] of Object.entries({ sliceEvery, sliceWarmup }))
    if (value !== undefined && !lists)
      throw new ConfigError(
        `Trainer: expected ${name} with a method of slice 'l1' alone, got ${value}; leave it out, or give the ` +
          "method { slice: 'l1' }",
      );
}
