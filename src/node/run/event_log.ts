import { type FileHandle, open, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, join } from 'node:path';
import { fileVersion, scalarEvent } from '../../formats/tensorboard.js';
import { fileError, listFolder, writeFileAtomic } from '../system/files.js';

type Metrics = Readonly<Record<string, number | string>>;

/** Whether a file of a folder is one of TensorBoard's. */
export const isEventFile = (name: string) => name.startsWith('events.out.tfevents.');

/**
 * metrics.jsonl in TensorBoard's format. The file is regenerated from the steps so far each time a run resumes, so it holds
 * every step once; it gets a new name then, for a TensorBoard that runs keeps on reading the file that it knows.
 */
export class EventLog {
  readonly #file: string;
  readonly #handle: FileHandle;

  private constructor(file: string, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  /** Writes the event file of the steps so far, in place of any that `folder` has. */
  static async open(folder: string, steps: readonly Metrics[]): Promise<EventLog> {
    const old = (await listFolder(folder)).filter(isEventFile);
    const now = Date.now() / 1000;
    const file = join(folder, `events.out.tfevents.${now.toFixed(3)}.${hostname()}`);
    await writeFileAtomic(file, Buffer.concat([fileVersion(now), ...steps.map(eventOf)]));
    for (const name of old) if (name !== basename(file)) await rm(join(folder, name), { force: true });
    try {
      return new EventLog(file, await open(file, 'a'));
    } catch (cause) {
      throw fileError(`cannot append to ${file}`, cause);
    }
  }

  async add(metrics: Metrics): Promise<void> {
    try {
      await this.#handle.appendFile(eventOf(metrics));
    } catch (cause) {
      throw fileError(`cannot append to ${this.#file}`, cause);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** `onDiagonal.live` is called `onDiagonal/live`: TensorBoard groups by the slash. */
function eventOf({ step, time, ...metrics }: Metrics): Uint8Array {
  const scalars: Record<string, number> = {};
  for (const [name, value] of Object.entries(metrics))
    if (typeof value === 'number') scalars[name.replace('.', '/')] = value;
  return scalarEvent(Number(step), Date.parse(String(time)) / 1000, scalars);
}
