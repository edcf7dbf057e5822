import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { DataError } from '../src/index.js';
import { makeFolder, readBytes, writeFileAtomic } from '../src/node/system/files.js';
import { type Experiment, keyOf, keyOfEarlier } from './experiment.js';
import type { Settings } from './settings.js';

/** What was measured. Shares are from 0 to 1. */
export interface Scores {
  readonly knn: number;
  readonly linear: number;
  /** Retrieval, of things that are drawn twice. */
  readonly top1?: number;
  readonly top5?: number;
  readonly effectiveRank?: number;
}

/** A line of the results file: one experiment, done. */
export interface Line {
  readonly subject: Experiment['subject'];
  /** Settings that mean something, the seed among them. */
  readonly config: Settings;
  /** `--images` of the call that measured it. */
  readonly scale: number;
  readonly adapter: string;
  readonly software: boolean;
  readonly version: string;
  readonly date: string;
  /** Images that were trained on, and FLOPs of that. */
  readonly images: number;
  readonly flops: number;
  /** Of a teacher's training before it. */
  readonly teacherFlops?: number;
  /** While training, by the median step. */
  readonly imagesPerSecond?: number;
  readonly seconds: number;
  readonly scores?: Scores;
  /** Test images, and pairs of them where things are drawn twice. */
  readonly tested?: { readonly images: number; readonly pairs?: number };
  /** Why there are no scores. */
  readonly error?: string;
}

/**
 * The lines of a results file, in the order of their measurement; none where there is no file yet.
 *
 * @throws DataError for a line that is not JSON of an object: by its number
 */
export async function readLines(file: string): Promise<Line[]> {
  if (!existsSync(file)) return [];
  const text = new TextDecoder().decode(await readBytes(file));
  return text.split('\n').flatMap((line, i) => (line.trim() === '' ? [] : [parseLine(line, `${file}:${i + 1}`)]));
}

function parseLine(text: string, where: string): Line {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${where}: expected a line of JSON; repair or remove it`, { cause });
  }
  const { subject, config, scale, adapter } = (line ?? {}) as Partial<Line>;
  if (
    typeof config !== 'object' ||
    typeof subject !== 'string' ||
    typeof scale !== 'number' ||
    typeof adapter !== 'string'
  )
    throw new DataError(`${where}: expected a result with subject, config, scale and adapter; repair or remove it`);
  const { scores, tested } = line as Partial<Line>;
  if (scores && typeof tested?.images !== 'number')
    throw new DataError(`${where}: expected the number of images that were tested; repair or remove it`);
  return line as Line;
}

/** Adds a line: whatever happens, the file holds all of it or none. */
export async function appendLine(file: string, line: Line): Promise<void> {
  await makeFolder(dirname(file));
  const lines = [...(await readLines(file)), line];
  await writeFileAtomic(file, lines.map((each) => `${JSON.stringify(each)}\n`).join(''));
}

/** The latest line of every experiment, by its key; and how many are of settings that no longer parse. */
export function latest(lines: readonly Line[]): { byKey: Map<string, Line>; lost: number } {
  const byKey = new Map<string, Line>();
  let lost = 0;
  for (const line of lines) {
    const key = keyOfEarlier(line.subject, line.config);
    if (key === undefined) lost++;
    else byKey.set(key, line);
  }
  return { byKey, lost };
}

/** The line of an experiment, if it has been made. */
export function lineOf(byKey: ReadonlyMap<string, Line>, experiment: Experiment): Line | undefined {
  return byKey.get(keyOf(experiment));
}
