import type { ImageSource } from '../data/source.js';
import { ConfigError } from '../errors.js';
import type { Checkpoint } from '../formats/checkpoint.js';
import { expectMethod, type Method } from '../methods/method.js';
import type { Device } from '../runtime/device.js';
import { factsOf, readRun } from './checkpoint.js';
import { type Settled, settleOptions, type TrainerOptions } from './options.js';
import { type Stretch, stretchesOf } from './step.js';

/** What is known of a run before anything of it is on the device. */
export interface Laid {
  readonly stretches: readonly [Stretch, ...Stretch[]];
  readonly options: Settled;
  /** What a checkpoint of it has in common with it. */
  readonly facts: Checkpoint['config'];
  readonly variants: Readonly<Record<string, string>>;
  /** Where it goes on from. */
  readonly before: Checkpoint | undefined;
}

/**
 * A run of a method on a source of images.
 *
 * @throws ConfigError for options that are wrong or do not go with the method and the images; DataError for a checkpoint of
 * another run
 */
export function layOut(device: Device, method: Method, source: ImageSource, given: TrainerOptions): Laid {
  const { resume, ...options } = settleOptions(given); // what was read is not kept
  checkMethod(method, given, options.imageSize);
  const stretches = stretchesOf(method, options, source);
  const facts = factsOf(options, stretches, source);
  const before = resume && readRun(resume, facts);
  // another adapter may not have them
  const variants = { ...options.variants, ...(before?.adapter === device.name && before.variants) };
  return { stretches, options, facts, variants, before };
}

/** Checks that a method is one, and that options go with it. */
function checkMethod(method: Method, { sliceEvery, sliceWarmup }: TrainerOptions, imageSize: number): void {
  expectMethod('Trainer', method);
  const { encoders, sliced, before } = method;
  if (before && !(Number.isInteger(before.epochs) && before.epochs >= 1))
    throw new ConfigError(
      `Trainer: expected epochs before a method that are whole and at least 1, got ${before.epochs}; ` +
        'leave before out for none',
    );
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
        `Trainer: expected ${name} with a method that slices by keep-lists alone, got ${value}; leave it out, or give the ` +
          "method { slice: 'l1' }",
      );
}
