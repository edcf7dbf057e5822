import { existsSync } from 'node:fs';
import { type Device, DeviceLostError, readEncoder, SlimgradError } from '../src/index.js';
import { readBytes } from '../src/node/system/files.js';
import { version } from '../src/node/system/version.js';
import type { Dataset } from '../src/node.js';
import { type Experiment, identity, keyOf } from './experiment.js';
import { type Measured, measure, OutOfTime } from './measure.js';
import { appendLine, type Line, latest, readLines } from './results.js';

export interface RunnerOptions {
  /** The results file. */
  readonly file: string;
  /** `--images`, as lines say it. */
  readonly scale: number;
  /** Minutes to spend; no limit where left out. */
  readonly minutes?: number;
  readonly device: Device;
  open(experiment: Experiment): Promise<Dataset>;
  note(line: string): void;
  /** After each line. */
  onLine?(): Promise<void>;
}

/** What a call did. */
export interface Progress {
  readonly done: number;
  /** Experiments that are still to be made. */
  readonly left: number;
  readonly failed: number;
}

/** Makes those of `queue` that the results file has not, in their order, until the time is up. A line for each is added to the file. */
export async function runQueue(queue: readonly Experiment[], options: RunnerOptions): Promise<Progress> {
  return new Runner(queue, options).run();
}

class Runner {
  readonly #queue: readonly Experiment[];
  readonly #options: RunnerOptions;
  readonly #deadline: number;
  #lines: Line[] = [];

  constructor(queue: readonly Experiment[], options: RunnerOptions) {
    this.#queue = queue;
    this.#options = options;
    this.#deadline = performance.now() + (options.minutes ?? Number.POSITIVE_INFINITY) * 60_000;
  }

  async run(): Promise<Progress> {
    const { file, note } = this.#options;
    this.#lines = await readLines(file);
    let [done, failed] = [0, 0];
    try {
      for (const experiment of this.#missing()) {
        if (this.#isKnown(experiment)) continue; // as what another needs, since
        done += await this.#prepare(experiment);
        if ((await this.#make(experiment, this.#keptAs(experiment))).error !== undefined) failed++;
        done++;
      }
    } catch (error) {
      if (!(error instanceof OutOfTime)) throw error;
      note('The time is up; the same command goes on from here.');
    }
    return { done, left: this.#missing().length, failed };
  }

  /** Makes what an experiment learns or starts from, where there is no file of it yet; how many that were. */
  async #prepare(experiment: Experiment): Promise<number> {
    let made = 0;
    for (const [needed, file] of needs(experiment)) {
      if (await isKept(needed, file)) continue;
      made += await this.#prepare(needed);
      await this.#make(needed, file);
      made++;
    }
    return made;
  }

  /** Those without a line, or with one that says why there is no result: perhaps there is one now. */
  #missing(): Experiment[] {
    return this.#queue.filter((experiment) => !this.#isKnown(experiment));
  }

  #isKnown(experiment: Experiment): boolean {
    const line = latest(this.#lines).byKey.get(keyOf(experiment));
    return line !== undefined && line.error === undefined;
  }

  /** The file that those who learn or start from it look for, if any do. */
  #keptAs(experiment: Experiment): string | undefined {
    const key = keyOf(experiment);
    return this.#queue.flatMap(needs).find(([needed]) => keyOf(needed) === key)?.[1];
  }

  async #make(experiment: Experiment, keep?: string): Promise<Line> {
    const { file, scale, device, open, note, onLine } = this.#options;
    const { subject, config } = experiment;
    const expected = this.#expected(experiment);
    const now = performance.now();
    if (now + expected > this.#deadline) throw new OutOfTime();
    const dataset = await open(experiment);
    const found = await this.#attempt(experiment, { device, dataset, deadline: this.#deadline, ...(keep && { keep }) });
    const line: Line = {
      subject,
      config: identity(config),
      scale,
      adapter: device.name,
      software: device.software,
      version,
      date: new Date().toISOString().slice(0, 10),
      seconds: Math.round(performance.now() - now) / 1000,
      ...found,
    };
    await appendLine(file, line);
    this.#lines.push(line);
    note(said(experiment, line));
    await onLine?.();
    return line;
  }

  async #attempt(
    experiment: Experiment,
    around: Parameters<typeof measure>[1],
  ): Promise<Measured & Pick<Line, 'error'>> {
    try {
      return await measure(experiment, around);
    } catch (error) {
      if (!(error instanceof SlimgradError) || error instanceof DeviceLostError) throw error;
      return { images: 0, flops: experiment.flops, error: error.message };
    }
  }

  /** Estimated milliseconds of an experiment, from similar ones on this adapter. */
  #expected({ subject, config }: Experiment): number {
    const alike = this.#lines.filter(
      (line) =>
        line.adapter === this.#options.device.name && line.subject === subject && line.config.data === config.data,
    );
    const own = alike.filter(({ config: { method } }) => method === config.method);
    const longest = (own.length > 0 ? own : alike).map(({ seconds, config: { steps } }) =>
      subject === 'trained' ? (1000 * seconds * (config.steps as number)) / (steps as number) : 1000 * seconds,
    );
    return longest.sort((a, b) => a - b)[longest.length >> 1] ?? 0;
  }
}

/** What an experiment learns and starts from, with the files of these. */
function needs({ teacher, start, config }: Experiment): [Experiment, string][] {
  return [
    ...(teacher && config.teacher !== null ? [[teacher, config.teacher] as [Experiment, string]] : []),
    ...(start && config.init !== null ? [[start, config.init] as [Experiment, string]] : []),
  ];
}

/** Whether the encoder that an experiment gives is in a file; a file of the same name may be of other settings. */
async function isKept({ config }: Experiment, file: string): Promise<boolean> {
  if (!existsSync(file)) return false;
  const kept = readEncoder(await readBytes(file), { file });
  return JSON.stringify(identity(kept.config)) === JSON.stringify(identity(config));
}

function said({ subject, config: { data, method, width, steps, seed } }: Experiment, line: Line): string {
  const { seconds, scores, error } = line;
  const share = (value: number | undefined) => (value === undefined ? '' : `, ${(100 * value).toFixed(1)}`);
  const what = subject === 'trained' ? `${method} of width ${width}, ${steps} steps` : subject;
  const figures = scores
    ? `kNN ${(100 * scores.knn).toFixed(1)}, linear ${(100 * scores.linear).toFixed(1)}${share(scores.top1).replace(',', ', retrieval')}`
    : `failed: ${error}`;
  return `${data}, seed ${seed}, ${what}: ${figures} (${seconds.toFixed(1)} s)`;
}
