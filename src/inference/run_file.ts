// The settings in the file of a run's encoder. Of all that reads encoders, this file alone knows settings and the encoders that they name.

import { backbone } from '../config/encoders.js';
import { withoutDistillation } from '../config/former.js';
import { freeKeys } from '../config/free.js';
import { parseConfig, type TrainConfig } from '../config/settings.js';
import type { Width } from '../core/parameters.js';
import { type Encoder, slimOf } from '../encoders/encoder.js';
import { DataError, SlimgradError } from '../errors.js';
import type { Json } from '../formats/checkpoint.js';

/** The texts of configurations that were read: a file that is written again keeps its text, even where settings were added since. */
const texts = new WeakMap<TrainConfig, string>();

/** What the weights of a run depend on: a continued run's files equal an uninterrupted one's byte for byte. */
export function identity(config: TrainConfig): { readonly [key: string]: Json } {
  return Object.fromEntries(Object.entries(config).filter(([key]) => !freeKeys.some((free) => free === key)));
}

/** A configuration as the file of an encoder has it. */
export function writeConfig(config: TrainConfig): string {
  return texts.get(config) ?? JSON.stringify(identity(config));
}

/** Parses the text; a DataError names `file` if it is invalid. */
export function readConfig(text: string, file: string): TrainConfig {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${file}: its configuration is not JSON`, { cause });
  }
  try {
    const config = parseConfig(isObject(raw) ? withoutDistillation(raw) : raw);
    texts.set(config, text);
    return config;
  } catch (cause) {
    throw cause instanceof SlimgradError
      ? new DataError(`${file}: its configuration: ${cause.message}`, { cause })
      : cause;
  }
}

const isObject = (raw: unknown): raw is Record<string, unknown> =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw);

/** The encoder of a run whose file it is. */
export function encoderOf(config: TrainConfig, part: Width): Encoder {
  const encoder = backbone(config);
  return part === 'host' ? encoder : slimOf(encoder);
}
