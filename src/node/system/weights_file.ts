import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Width } from '../../core/parameters.js';
import { ConfigError, DataError } from '../../errors.js';
import { type RunEncoderFile, readEncoder } from '../../inference/encoder_file.js';
import { isFolder, readBytes } from './files.js';

/** The file of a run's encoder, read: its path and its contents. */
export interface WeightsFile {
  readonly weights: string;
  readonly encoder: RunEncoderFile;
}

/**
 * Reads the encoder that `path` names: a file, or a run folder, whose default is slim.safetensors.
 *
 * @param part the expected encoder: selects one in a run folder; a file that contains the other one is refused
 * @throws DataError where a folder has no such file, or weights are unusable; ConfigError where a file contains the other encoder
 */
export async function readWeights(path: string, part?: Width | null): Promise<WeightsFile> {
  const weights = await weightsPath(path, part ?? 'slim');
  const encoder = readEncoder(await readBytes(weights), { file: weights });
  if (!part || encoder.part === part) return { weights, encoder };
  throw new ConfigError(
    `--part: expected the ${part} encoder, but ${weights} contains the ${encoder.part} one; give ${part}.safetensors of the same run`,
  );
}

/**
 * The path of an encoder that `path` names: itself, or that of a run folder.
 *
 * @throws DataError where a folder has no such file
 */
export async function weightsPath(path: string, part: Width): Promise<string> {
  if (!(await isFolder(path))) return path;
  const name = `${part}.safetensors`;
  const found = await weightsIn(path);
  if (found.includes(name)) return join(path, name);
  const others = found.length > 0 ? `it has ${found.join(', ')}` : 'it has no weights';
  throw new DataError(`${path}: expected a run folder with ${name}, but ${others}; give a finished run, or a file`);
}

/**
 * The path of the encoder with a classifier that `path` names: itself, or if it is a run folder, the only one in it.
 *
 * @throws DataError where a folder has none, or several
 */
export async function classifierFile(path: string): Promise<string> {
  if (!(await isFolder(path))) return path;
  const found = (await weightsIn(path)).filter((name) => /^(finetune|linear)-/.test(name));
  if (found.length === 1) return join(path, found[0]);
  if (found.length > 1) throw new DataError(`${path}: expected one classifier, got ${found.join(', ')}; give the file`);
  throw new DataError(`${path}: it has no classifier; slimgrad finetune and slimgrad linear write one`);
}

async function weightsIn(folder: string): Promise<string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.safetensors')).sort();
}
