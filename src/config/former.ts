// Settings as files of earlier versions have them.
import { ConfigError } from '../errors.js';

/**
 * Settings by their names of today: those that only had another name are renamed, those that no longer exist are left out where
 * they meant nothing.
 *
 * @throws ConfigError for a setting that no longer exists and decided what was trained
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

/** Settings of a run that is done, of which only the encoder matters: without those of a distillation that came first. */
export function withoutDistillation(given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { distilEpochs, ...rest } = given;
  if (!distilEpochs) return rest;
  const { teacher, teacherTemperature, ...own } = rest;
  return own;
}
