import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Width } from '../../core/parameters.js';
import { ConfigError, DataError } from '../../errors.js';
import { readEncoder } from '../../inference/encoder_file.js';
import { isFolder, readBytes } from '../system/files.js';

/**
 * The file of weights that `path` names: itself, or where it is a run folder its slim.safetensors.
 *
 * @param part the encoder that is expected: of a folder this one, of a file one of this kind
 * @throws DataError where a folder has no such file, or weights are unusable; ConfigError where a file holds the other encoder
 */
export async function weightsFile(path: string, part?: Width | null): Promise<string> {
  if (await isFolder(path)) {
    const name = `${part ?? 'slim'}.safetensors`;
    const found = await weightsIn(path);
    if (found.includes(name)) return join(path, name);
    const others = found.length > 0 ? `it has ${found.join(', ')}` : 'it has no weights';
    throw new DataError(`${path}: expected a run folder with ${name}, but ${others}; give a finished run, or a file`);
  }
  if (!part) return path;
  const { part: held } = readEncoder(await readBytes(path), { file: path });
  if (held === part) return path;
  throw new ConfigError(
    `--part: expected the ${part} encoder, but ${path} holds the ${held} one; give ${part}.safetensors of the same run`,
  );
}

/**
 * The file of an encoder and its classifier that `path` names: itself, or where it is a run folder the only one in it.
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
