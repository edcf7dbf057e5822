// A run's folder: its files, its lock, writing them atomically.
import { constants, readFileSync, rmSync } from 'node:fs';
import { type FileHandle, link, open, readFile, rename, rm, rmdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { freeKeys } from '../../config/free.js';
import { isOfPlace, parseConfig, type TrainConfig } from '../../config/settings.js';
import { DataError } from '../../errors.js';
import { type Checkpoint, checkConfig, readCheckpoint, writeCheckpoint } from '../../formats/checkpoint.js';
import { type DataRecord, readRecord, writeRecord } from '../data/record.js';
import {
  fileError,
  isFolder,
  isMissing,
  listFolder,
  makeFolder,
  readBytes,
  removePartials,
  writeFileAtomic,
} from '../system/files.js';
import { EventLog, isEventFile } from './event_log.js';

const names = {
  lock: '.lock',
  config: 'config.json',
  metrics: 'metrics.jsonl',
  checkpoint: 'checkpoint.safetensors',
  kernels: 'kernels.json',
  data: 'data.json',
} as const;

/** What a run has before its first step. */
const begun: readonly string[] = [names.config, names.metrics, names.kernels, names.data];

const withoutPlace = (key: string, value: unknown) => (isOfPlace(key) ? undefined : value);

/** The kernel variants of a run, and the adapter that they were chosen on. */
export type Kernels = Pick<Checkpoint, 'adapter' | 'variants'>;

interface Begun {
  /** Where to go on from, if there is a checkpoint. */
  checkpoint?: Checkpoint;
  /** What the run computes with, if it was begun. */
  kernels?: Kernels;
}

/**
 * The folder of one run, held by one process at a time. Its files are whole at every moment: each is replaced under a
 * temporary name, but for metrics.jsonl, which grows a line a step and is cut back to the checkpoint on resume.
 */
export class RunFolder {
  readonly path: string;
  /** Whether it was made here, and whether there was no run in it. */
  #isMade = false;
  #isNew = false;
  #metrics: FileHandle | undefined;
  #events: EventLog | undefined;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Acquires `path` for a run with `config`, making it where it is missing.
   *
   * @throws DataError when the folder holds something and `resume` is false, holds no run, or one of another config, or
   * is in use by another process
   */
  static async open(path: string, config: TrainConfig): Promise<{ folder: RunFolder } & Begun> {
    const isMade = !(await isFolder(path));
    await makeFolder(path);
    await lock(path);
    const folder = new RunFolder(path);
    folder.#isMade = isMade;
    try {
      return { folder, ...(await folder.#begin(config)) };
    } catch (error) {
      await folder.close();
      throw error;
    }
  }

  async #begin(config: TrainConfig): Promise<Begun> {
    await removePartials(this.path);
    const files = (await listFolder(this.path)).filter((name) => name !== names.lock);
    // What a run that stopped before its first step leaves, for want of data perhaps, keeps no other out.
    const held = files.filter((name) => name !== names.kernels && name !== names.data && !isEventFile(name));
    const isUnbegun = held.join() === [names.config, names.metrics].join() && (await this.metrics()).length === 0;
    const found = isUnbegun ? [] : files;
    if (found.length > 0 && !config.resume) {
      const what = found.includes(names.config)
        ? 'holds a run already'
        : `is not empty (${found.slice(0, 3).join(', ')})`;
      throw new DataError(`${this.path} ${what}: give --resume to continue it, or another folder as --out`);
    }
    if (found.length > 0 && !found.includes(names.config)) {
      throw new DataError(
        `${this.path}: there is no ${names.config}, so no run to resume: give another folder as --out`,
      );
    }
    this.#isNew = found.length === 0;
    const isChanged = this.#isNew || (await this.#checkConfig(config));
    const file = join(this.path, names.checkpoint);
    const checkpoint = found.includes(names.checkpoint) ? readCheckpoint(await readBytes(file), file) : undefined;
    if (checkpoint) checkContinued(parsedConfig(checkpoint.config, file), config, file);
    if (isChanged)
      await this.write(
        names.config,
        `${JSON.stringify(config, withoutPlace, 2)}
`,
      );
    const kernels = checkpoint ?? (found.includes(names.kernels) ? await this.#readKernels() : undefined);
    await this.#cutMetrics(checkpoint?.step ?? 0);
    if (config.tensorboard) this.#events = await EventLog.open(this.path, await this.metrics());
    return { ...(checkpoint && { checkpoint }), ...(kernels && { kernels }) };
  }

  async #readKernels(): Promise<Kernels> {
    const file = join(this.path, names.kernels);
    const text = new TextDecoder().decode(await readBytes(file));
    try {
      const { adapter, variants } = JSON.parse(text) as Kernels;
      if (typeof adapter === 'string' && Object.values(variants).every((name) => typeof name === 'string'))
        return { adapter, variants };
    } catch {
      // reported below, as for any other contents
    }
    throw new DataError(`${file}: expected {"adapter": NAME, "variants": {CHOICE: NAME}}; remove it to choose again`);
  }

  /** Keeps what the run computes with, for a continuation before the first checkpoint to use again. */
  async saveKernels(kernels: Kernels): Promise<void> {
    await this.write(names.kernels, `${JSON.stringify(kernels, null, 2)}\n`);
  }

  /** Whether the run is a longer one now. */
  async #checkConfig(config: TrainConfig): Promise<boolean> {
    const file = join(this.path, names.config);
    return checkContinued(parsedConfig(new TextDecoder().decode(await readBytes(file)), file), config, file);
  }

  /** Keeps the lines of steps 1 to `step`, and drops the rest, a torn last one too. */
  async #cutMetrics(step: number): Promise<void> {
    const lines: string[] = [];
    for (const line of await readLines(join(this.path, names.metrics))) {
      const at = parseLine(line)?.step;
      if (at !== lines.length + 1 || at > step) break;
      lines.push(line);
    }
    await this.write(names.metrics, lines.map((line) => `${line}\n`).join(''));
    const file = join(this.path, names.metrics);
    this.#metrics = await open(file, constants.O_WRONLY | constants.O_APPEND).catch((cause) => {
      throw fileError(`cannot append to ${file}`, cause);
    });
  }

  /** Adds a line to metrics.jsonl, and to TensorBoard's file where there is one. */
  async log(values: Readonly<Record<string, number | string>>): Promise<void> {
    try {
      await this.#metrics?.appendFile(`${JSON.stringify(values)}\n`);
    } catch (cause) {
      throw fileError(`cannot append to ${join(this.path, names.metrics)}`, cause);
    }
    await this.#events?.add(values);
  }

  /** Replaces the checkpoint; the metrics up to it are on disk before it is. */
  async save(checkpoint: Checkpoint): Promise<void> {
    await this.#metrics?.datasync().catch((cause) => {
      throw fileError(`cannot write ${join(this.path, names.metrics)}`, cause);
    });
    await this.write(names.checkpoint, writeCheckpoint(checkpoint));
  }

  /** Keeps what the run's data are made of. */
  async saveData(record: DataRecord): Promise<void> {
    await writeFileAtomic(join(this.path, names.data), writeRecord(record));
  }

  /** What the run's data were made of; undefined where that is not known. */
  async data(): Promise<DataRecord | undefined> {
    if (!(await this.has(names.data))) return undefined;
    return readRecord(new TextDecoder().decode(await readBytes(join(this.path, names.data))));
  }

  /** Whether there is a file `name`. */
  async has(name: string): Promise<boolean> {
    return (await listFolder(this.path)).includes(name);
  }

  /** Replaces the file `name`. */
  async write(name: string, bytes: Uint8Array | string): Promise<void> {
    await writeFileAtomic(join(this.path, name), bytes);
  }

  /** The lines of metrics.jsonl. */
  async metrics(): Promise<Record<string, number | string>[]> {
    return readMetrics(this.path);
  }

  /** Lets others take the folder, in a process that is about to end. */
  release(): void {
    rmSync(join(this.path, names.lock), { force: true });
  }

  /** Lets go of the folder, as it was found, of a run that could not be begun. */
  async abandon(): Promise<void> {
    if (this.#isNew)
      for (const name of await listFolder(this.path))
        if (begun.includes(name) || isEventFile(name)) await rm(join(this.path, name), { force: true });
    await this.close();
    if (this.#isMade) await rmdir(this.path).catch(() => undefined); // somebody else may have put something there
  }

  /** Lets go of the folder. */
  async close(): Promise<void> {
    await this.#metrics?.close();
    await this.#events?.close();
    this.#metrics = undefined;
    this.#events = undefined;
    await rm(join(this.path, names.lock), { force: true });
  }
}

/**
 * Whether a run is extended beyond its configured length. Throws a DataError where it cannot continue with another config: all but free settings
 * must be the same.
 */
function checkContinued(before: TrainConfig, config: TrainConfig, file: string): boolean {
  const isLonger = (['steps', 'epochs'] as const).some((key) => {
    const [old, now] = [before[key], config[key]];
    return old !== null && now !== null && now > old;
  });
  checkConfig({ config: before }, config, file, isLonger ? [...freeKeys, 'steps', 'epochs'] : freeKeys);
  return isLonger;
}

/** A configuration, or its text, from `file`; settings that are newer than it take their defaults. */
function parsedConfig(found: unknown, file: string): TrainConfig {
  try {
    return parseConfig(typeof found === 'string' ? JSON.parse(found) : found);
  } catch (cause) {
    throw new DataError(`${file}: not a usable configuration: ${(cause as Error).message}`, { cause });
  }
}

/** The lines of a run folder's metrics.jsonl; empty if it does not exist. */
export async function readMetrics(folder: string): Promise<Record<string, number | string>[]> {
  const lines = (await readLines(join(folder, names.metrics))).map(parseLine);
  return lines.filter((line) => line !== undefined);
}

async function readLines(file: string): Promise<string[]> {
  try {
    return (await readFile(file, 'utf8')).split('\n').slice(0, -1);
  } catch (cause) {
    if (isMissing(cause)) return [];
    throw fileError(`cannot read ${file}`, cause);
  }
}

function parseLine(line: string): Record<string, number | string> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, number | string>) : undefined;
  } catch {
    return undefined;
  }
}

interface Holder {
  pid: number;
  host: string;
  /** Tells two processes with one pid apart, where the system says when a process began. */
  started?: string;
}

/** Claims `folder` for this process; a claim whose process is gone is void. */
async function lock(folder: string): Promise<void> {
  const file = join(folder, names.lock);
  const self: Holder = { pid: process.pid, host: hostname(), started: startOf(process.pid) };
  for (let attempt = 0; attempt < 5; attempt++) {
    if (await create(file, JSON.stringify(self))) return;
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) continue;
    const holder = parseHolder(text);
    // A claim may be read before its process has written it.
    if (!holder && attempt < 2) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      continue;
    }
    if (holder && isAlive(holder)) {
      const who = holder.host === hostname() ? `process ${holder.pid}` : `process ${holder.pid} on ${holder.host}`;
      throw new DataError(`${folder} is in use by ${who}: wait for it, or, if it is gone, remove ${file}`);
    }
    await discard(file, text);
  }
  throw new DataError(`${folder}: other processes keep claiming it; try again, or give another folder as --out`);
}

async function create(file: string, text: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx');
    await handle.writeFile(text).finally(() => handle.close());
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw fileError(`cannot write ${file}`, cause);
  }
}

/** Removes the void claim `text`; another process's fresh one, put there meanwhile, is put back. */
async function discard(file: string, text: string): Promise<void> {
  const aside = `${file}.${process.pid}`;
  try {
    await rename(file, aside);
    if ((await readFile(aside, 'utf8')) !== text) await link(aside, file);
  } catch (cause) {
    if (!isMissing(cause) && (cause as NodeJS.ErrnoException).code !== 'EEXIST')
      throw fileError(`cannot replace ${file}`, cause);
  } finally {
    await rm(aside, { force: true });
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const { pid, host, started } = JSON.parse(text) as Holder;
    return Number.isInteger(pid) && pid > 0 && typeof host === 'string' ? { pid, host, started } : undefined;
  } catch {
    return undefined;
  }
}

function isAlive({ pid, host, started }: Holder): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return started === undefined || startOf(pid) === started;
}

/** When a process began, in the kernel's ticks since boot, on Linux. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
