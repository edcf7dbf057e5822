// Checkpoints: named tensors and a JSON configuration in one safetensors file, and the comparison of configurations.
import { DataError } from '../errors.js';
import { readSafetensors, type SavedTensor, writeSafetensors } from './safetensors.js';

export { checkState, checkTensors } from '../core/state.js';

const FORMAT = 'slimgrad checkpoint 1';

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** All that a run needs to go on bit for bit from `step`. One safetensors file; `write` and `read` turn it to bytes and back. */
export interface Checkpoint {
  /** Steps done. */
  readonly step: number;
  /** What a run must match to be resumed: its settings, as in config.json, or the facts of src/train/checkpoint.ts. */
  readonly config: { readonly [key: string]: Json };
  /** Kernel variant by choice key: another choice gives other last bits. */
  readonly variants: { readonly [key: string]: string };
  /** Name of the adapter the run was made on. */
  readonly adapter: string;
  /** Tells the run's data from others. */
  readonly data?: string;
  /** The items that it was trained on so far, as `writeTrained` gives them. */
  readonly trained?: string;
  /** Weights, optimizer state, running statistics. */
  readonly tensors: ReadonlyMap<string, SavedTensor>;
}

/** The bytes of a checkpoint. Equal checkpoints give equal bytes. */
export function writeCheckpoint(checkpoint: Checkpoint): Uint8Array<ArrayBuffer> {
  const { step, config, variants, adapter, data, trained, tensors } = checkpoint;
  return writeSafetensors(tensors, {
    format: FORMAT,
    step: String(step),
    config: JSON.stringify(sorted(config)),
    variants: JSON.stringify(sorted(variants)),
    adapter,
    ...(data !== undefined && { data }),
    ...(trained !== undefined && { trained }),
  });
}

/** Reads a checkpoint. A DataError names `file` where it is damaged or something else. */
export function readCheckpoint(bytes: Uint8Array, file: string): Checkpoint {
  const { tensors, metadata } = readSafetensors(bytes, file);
  const { format, step, config, variants, adapter, data, trained } = metadata;
  if (format !== FORMAT) {
    throw new DataError(
      `${file}: expected a checkpoint of format '${FORMAT}', got ` +
        `${format === undefined ? 'a safetensors file without a format' : `'${format.slice(0, 60)}'`}`,
    );
  }
  if (!/^(0|[1-9]\d{0,14})$/.test(step ?? '') || adapter === undefined) {
    throw new DataError(
      `${file}: the checkpoint has no valid step and adapter in its metadata: it was not written by us`,
    );
  }
  const settings = parseObject(config, `${file}: config`);
  const choices = parseObject(variants, `${file}: variants`);
  for (const [key, choice] of Object.entries(choices)) {
    if (typeof choice !== 'string')
      throw new DataError(`${file}: variants: expected a name for ${key}, got ${JSON.stringify(choice)}`);
  }
  return {
    step: Number(step),
    config: settings,
    variants: choices as Record<string, string>,
    adapter,
    ...(data !== undefined && { data }),
    ...(trained !== undefined && { trained }),
    tensors,
  };
}

/**
 * Throws a DataError that lists every key whose value differs between a checkpoint's config and this run's.
 * Keys in `free` may differ: those that do not change what is computed.
 */
export function checkConfig(
  checkpoint: Pick<Checkpoint, 'config'>,
  config: Checkpoint['config'],
  file: string,
  free: readonly string[] = [],
): void {
  const differing = differencesOf(checkpoint.config, config, free);
  if (differing.length > 0) {
    throw new DataError(
      `${file}: the checkpoint is of another config: ${differing.join(', ')}; ` +
        'resume with its settings, or begin a new run in another folder',
    );
  }
}

/** Every key whose value is another here than there, in words; keys in `free` may differ. */
export function differencesOf(
  there: Checkpoint['config'],
  here: Checkpoint['config'],
  free: readonly string[] = [],
): string[] {
  const keys = new Set([...Object.keys(there), ...Object.keys(here)]);
  const show = (value: Json | undefined) => (value === undefined ? 'unset' : JSON.stringify(sorted(value)));
  return [...keys]
    .filter((key) => !free.includes(key) && show(there[key]) !== show(here[key]))
    .sort()
    .map((key) => `${key} (there ${show(there[key])}, here ${show(here[key])})`);
}

function parseObject(text: string | undefined, what: string): { [key: string]: Json } {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch (cause) {
    throw new DataError(`${what}: expected a JSON object in the checkpoint's metadata`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DataError(`${what}: expected a JSON object in the checkpoint's metadata`);
  }
  return value as { [key: string]: Json };
}

/** The same value with the keys of every object in order, so that equal settings have equal text. */
function sorted(value: Json): Json {
  if (typeof value !== 'object' || value === null) return value;
  if (isArray(value)) return value.map(sorted);
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key])]),
  );
}

function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
