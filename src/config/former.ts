// Settings in files of earlier versions.
import { ConfigError } from '../errors.js';

/**
 * Settings by their current names: renamed ones are converted, removed ones are dropped where they had no effect.
 *
 * @throws ConfigError for a removed setting that affected training
 */
export function bringUpToDate(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { neighbours, distilEpochs, ...rest } = given;
  if (distilEpochs)
    throw new ConfigError(
      `distilEpochs: distillation that comes first is a run of its own now, got ${distilEpochs} epochs of it. ` +
        'Train --method seed, and give its run as --init.',
    );
  return { ...(neighbours !== undefined && { neighbors: neighbours }), ...rest };
}

/** Settings of a finished run, of which only the encoder matters: without those of a preceding distillation. */
export function withoutDistillation(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { distilEpochs, ...rest } = given;
  if (!distilEpochs) return rest;
  const { teacher, teacherTemperature, ...own } = rest;
  return own;
}
