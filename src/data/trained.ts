// The items that an encoder was trained on, kept in its file.
import { DataError } from '../errors.js';
import { subset } from './derived.js';
import type { ImageSource } from './source.js';

/**
 * Which items an encoder was trained on, by digests of their bytes, so that an evaluation can leave them out whatever the files are
 * called now. As text it is base64 of the ascending differences, seven bits a byte: about three bytes an item.
 */
export type Trained = ReadonlySet<number>;

/** The items of a source, as far as their digests are known. */
export function trainedOn(source: Pick<ImageSource, 'digests'>, before: Trained = new Set()): Trained {
  return new Set([...before, ...(source.digests ?? [])]);
}

/** As text, for a file's metadata. */
export function writeTrained(trained: Trained): string {
  const bytes: number[] = [];
  let last = 0;
  for (const digest of Uint32Array.from(trained).sort()) {
    let rest = digest - last;
    last = digest;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
    bytes.push(rest);
  }
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.slice(at, at + 8192));
  return btoa(text);
}

/** Back from text; none where there is no text. A DataError names `file` where it is damaged. */
export function readTrained(text: string | undefined, file: string): Trained {
  const trained = new Set<number>();
  let [last, rest, scale] = [0, 0, 1];
  let decoded: string;
  try {
    decoded = atob(text ?? '');
  } catch (cause) {
    throw new DataError(`${file}: the record of the images it was trained on is damaged`, { cause });
  }
  for (let at = 0; at < decoded.length; at++) {
    const byte = decoded.charCodeAt(at);
    rest += (byte % 128) * scale;
    scale *= 128;
    if (byte > 127) continue;
    last += rest;
    trained.add(last);
    [rest, scale] = [0, 1];
  }
  if (scale !== 1 || last > 0xffffffff)
    throw new DataError(`${file}: the record of the images it was trained on is damaged`);
  return trained;
}

/** The items of `source` that were not trained on, and how many were. */
export function leaveOutTrained(source: ImageSource, trained: Trained): { fresh: ImageSource; known: number } {
  const { digests, length } = source;
  if (!digests || trained.size === 0) return { fresh: source, known: 0 };
  const items = Array.from({ length }, (_, item) => item).filter((item) => !trained.has(digests[item]));
  return { fresh: items.length === length ? source : subset(source, items), known: length - items.length };
}
