// A run of `slimgrad pretrain`: the loop around a trainer, with checkpoints, logs, signals and the report.
import type { TrainConfig } from '../../config/settings.js';
import { readTrained, type Trained, trainedOn, writeTrained } from '../../data/trained.js';
import { NonFiniteError, SlimgradError } from '../../errors.js';
import type { Checkpoint } from '../../formats/checkpoint.js';
import { f32, toTensors } from '../../formats/safetensors.js';
import { writeEncoder } from '../../inference/encoder_file.js';
import { encoderOf, identity } from '../../inference/run_file.js';
import type { RunCost } from '../../train/cost.js';
import type { Trainer } from '../../train/trainer.js';
import { changedDataError, type DataRecord, differenceOf, differenceText, digestOf } from '../data/record.js';
import type { Evaluation } from '../eval/scores.js';
import { renderReport } from '../report/run_report.js';
import { verdictOf } from '../report/verdict.js';
import { openPrelude, openProgress, type Progress, type Terminal } from './progress.js';
import { type Kernels, RunFolder } from './run_folder.js';

/** The part of a run that computes: what `pretrain` asks of a trainer. */
export type SessionTrainer = Pick<
  Trainer,
  | 'step'
  | 'steps'
  | 'choices'
  | 'train'
  | 'save'
  | 'load'
  | 'encoderState'
  | 'firstNonFinite'
  | 'correlation'
  | 'dispose'
>;

/** A trainer with what surrounds it. */
export interface Session {
  trainer: SessionTrainer;
  /** Name of the adapter. */
  adapter: string;
  /** Images (or pairs) to train on. */
  images: number;
  /** What the data are made of, and the digests of the items to train on, where that is known. */
  data?: DataRecord;
  digests?: Uint32Array;
  /** What the run computes, where that is known. */
  cost?: RunCost;
  /** Quick scores of the current slim encoder on held-out images, by their names in metrics. */
  score?(): Promise<Readonly<Record<string, number>>>;
  /** Evaluates the current slim encoder, the untrained one and raw pixels. */
  evaluate?(): Promise<Evaluation>;
  dispose(): void | Promise<void>;
}

/**
 * Opens device, data and trainer. `kernels` are a run's choices so far, to be used again on an adapter of that name; where the data
 * are not made of what is `known`, it is an error. What is `resumed` has weights of its own.
 */
export type OpenSession = (
  config: TrainConfig,
  options: {
    kernels?: Kernels;
    known?: DataRecord;
    resumed?: boolean;
    note(line: string): void;
    status?(text: string): void;
  },
) => Promise<Session>;

/** The exit codes of a run that a signal ended. SIGHUP: its terminal is closed; SIGPIPE: its output is closed. */
export const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGPIPE: 141, SIGTERM: 143 } as const;

type Signal = keyof typeof exitCodes;

/** A signal ended a run; its checkpoint is written. */
export class Interrupted extends SlimgradError {
  override name = 'Interrupted';
  readonly signal: Signal;

  constructor(signal: Signal, message: string) {
    super(message);
    this.signal = signal;
  }
}

export interface PretrainResult {
  folder: string;
  metrics: Record<string, number | string>[];
  evaluation?: Evaluation;
}

/**
 * Runs `config` to its end in the folder `config.out`, from its checkpoint where there is one and `config.resume` is
 * set.
 *
 * @throws DataError for a folder that cannot be used; NonFiniteError when the loss or a tensor is no longer finite,
 * with the last good checkpoint left as it is; Interrupted after SIGINT, SIGTERM, SIGHUP or SIGPIPE
 */
export async function pretrain(config: TrainConfig, open: OpenSession, screen: Terminal): Promise<PretrainResult> {
  const { folder, checkpoint, kernels } = await RunFolder.open(config.out, config);
  const signals = new Signals((signal) => {
    folder.release();
    screen.write(`Stopped by ${signal}; --resume goes on from the last checkpoint, if there is one.\n`);
  });
  let session: Session | undefined;
  let progress: Progress | undefined;
  const prelude = openPrelude(screen);
  const note = (line: string) => (progress ?? prelude).note(line);
  try {
    const before = checkpoint && (await folder.data());
    const known = config.acceptData ? undefined : before;
    const options = { ...(kernels && { kernels }), ...(known && { known }), resumed: checkpoint !== undefined };
    session = await open(config, { ...options, note, status: prelude.status });
    const { trainer, adapter } = session;
    if (checkpoint) compareData(config, checkpoint, before, session.data, note);
    if (session.data) await folder.saveData(session.data);
    await folder.saveKernels({ adapter, variants: trainer.choices });
    const trained = trainedOn(session, readTrained(checkpoint?.trained, `${config.out}/checkpoint.safetensors`));
    const { score } = session;
    const run = { config, folder, trainer, adapter, ...(score && { score }), origin: originOf(session.data, trained) };
    if (checkpoint) {
      await trainer.load(checkpoint.step, toTensors(checkpoint.tensors, `${config.out}/checkpoint.safetensors`));
      warnOfOtherBits(checkpoint, run, note);
      note(`Resumed ${config.out} at step ${checkpoint.step} of ${trainer.steps}.`);
    }
    progress = openProgress(screen, { steps: trainer.steps, done: trainer.step, batch: config.batch });
    // drivers may put off compiling until a kernel runs
    prelude.status('First step: the driver may still be compiling.');
    await signals.deferring(() => loop(run, progress as Progress, signals, () => prelude.status('')));
    progress.close();
    progress = undefined;
    return await finish(run, session, trainer.step > (checkpoint?.step ?? 0), note);
  } finally {
    progress?.close();
    signals.close();
    await session?.dispose();
    await (session ? folder.close() : folder.abandon());
  }
}

interface Run {
  config: TrainConfig;
  folder: RunFolder;
  trainer: SessionTrainer;
  adapter: string;
  score?: Session['score'];
  /** What the weights are made from, for the metadata of files. */
  origin: Pick<Checkpoint, 'data' | 'trained'>;
}

function originOf(data: DataRecord | undefined, trained: Trained): Run['origin'] {
  return { ...(data && { data: digestOf(data) }), ...(trained.size > 0 && { trained: writeTrained(trained) }) };
}

/**
 * Tells of data that are not those of the checkpoint.
 *
 * @throws DataError where they differ, unless the settings accept that
 */
function compareData(
  { data: name, acceptData }: TrainConfig,
  checkpoint: Checkpoint,
  before: DataRecord | undefined,
  now: DataRecord | undefined,
  note: (line: string) => void,
): void {
  if (!now) return;
  if (checkpoint.data === undefined) {
    note(
      'Warning: this run was begun without a record of its data: whether these are the same images, split alike, is not known.',
    );
    return;
  }
  if (checkpoint.data === digestOf(now)) return;
  const isKnown = before && digestOf(before) === checkpoint.data;
  const what = isKnown
    ? differenceText(differenceOf(before.files, now.files))
    : 'how is not known, for want of its data.json';
  if (!acceptData) throw changedDataError(name, what);
  note(`Going on with other data than before: ${what}.`);
}

async function loop(run: Run, progress: Progress, signals: Signals, onStep: () => void): Promise<void> {
  const { config, folder, trainer } = run;
  let saved = trainer.step;
  let scores: Readonly<Record<string, number>> = {};
  while (trainer.step < trainer.steps) {
    if (!signals.received) {
      const metrics = await trainer.train();
      onStep();
      if (!Number.isFinite(metrics.loss)) await stop(run, metrics.step, `the loss is ${metrics.loss}`, saved);
      const isScored =
        config.evalEvery > 0 && (metrics.step % config.evalEvery === 0 || metrics.step === trainer.steps);
      const found = isScored ? await run.score?.() : undefined;
      if (found) scores = found;
      await folder.log({ ...metrics, ...found, time: new Date().toISOString() });
      progress.step({ ...metrics, ...scores });
    }
    const { step } = trainer;
    if (signals.received || step % config.checkpointEvery === 0 || step === trainer.steps) {
      await saveCheckpoint(run, saved);
      saved = step;
    }
    if (signals.received && step < trainer.steps) {
      const [settings, out] = [`${config.out}/config.json`, config.out].map(quoted);
      const remedy = `npx slimgrad pretrain --config ${settings} --out ${out} --resume`;
      throw new Interrupted(
        signals.received,
        `Stopped by ${signals.received} after step ${step} of ${trainer.steps}; its checkpoint is written. ` +
          `Continue: ${remedy}`,
      );
    }
  }
}

/** A word for a shell to read back. */
function quoted(text: string): string {
  return /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Writes a checkpoint, but never one that holds a NaN or infinity. */
async function saveCheckpoint(run: Run, saved: number): Promise<void> {
  const { config, folder, trainer, adapter } = run;
  const { step } = trainer;
  const tensors = await trainer.save();
  for (const [name, { data }] of tensors) {
    if (!data.every(Number.isFinite)) await stop(run, step, `${name} holds a NaN or infinity`, saved);
  }
  await folder.save({
    step,
    config: identity(config),
    variants: trainer.choices,
    adapter,
    ...run.origin,
    tensors: new Map(Array.from(tensors, ([name, t]) => [name, f32(t.shape, t.data)])),
  });
}

async function stop({ config, trainer }: Run, step: number, what: string, saved: number): Promise<never> {
  const first = await trainer.firstNonFinite();
  const where = first ? `; the first tensor that is not finite is ${first}` : '';
  const kept = saved > 0 ? `The checkpoint of step ${saved} is intact` : 'There is no checkpoint yet';
  throw new NonFiniteError(
    `step ${step}: ${what}${where}. ${kept}. ` +
      `Try a lower --lr than ${config.lr}, or a longer --warmup, in a new folder.`,
  );
}

function warnOfOtherBits(
  checkpoint: { adapter: string; variants: Readonly<Record<string, string>> },
  { adapter, trainer }: Run,
  note: (line: string) => void,
): void {
  const last = 'so the last bits will not be those of an uninterrupted run.';
  if (checkpoint.adapter !== adapter) {
    note(`Warning: the checkpoint was made on '${checkpoint.adapter}', this is '${adapter}', ${last}`);
  }
  const keys = new Set([...Object.keys(checkpoint.variants), ...Object.keys(trainer.choices)]);
  const other = [...keys].filter((key) => checkpoint.variants[key] !== trainer.choices[key]);
  if (other.length > 0) {
    const some = other.slice(0, 3).join(', ') + (other.length > 3 ? ', ...' : '');
    note(`Warning: other kernels than the checkpoint's are in use (${some}), ${last}`);
  }
}

/** Writes the encoders and the report. */
async function finish(
  run: Run,
  session: Session,
  hasTrained: boolean,
  note: (line: string) => void,
): Promise<PretrainResult> {
  const { config, folder, trainer, adapter } = run;
  for (const width of ['slim', 'host'] as const) {
    const state = await trainer.encoderState(width);
    const about = {
      encoder: encoderOf(config, width),
      imageSize: config.imageSize,
      step: trainer.step,
      part: width,
      config,
    };
    await folder.write(`${width}.safetensors`, writeEncoder({ ...about, state, metadata: { ...run.origin } }));
  }
  const evaluation = await session.evaluate?.();
  const metrics = await folder.metrics();
  const verdict = verdictOf(metrics);
  if (verdict) note(verdict);
  // A finished run that was resumed has made no step to show the correlations of: its report stays.
  if (hasTrained || !(await folder.has('report.html'))) {
    const correlation = hasTrained ? await trainer.correlation() : undefined;
    const { images, cost } = session;
    const report = renderReport({ config, adapter, images, metrics, correlation, evaluation, cost, verdict });
    await folder.write('report.html', report);
  }
  note(`slim.safetensors, host.safetensors and report.html are in ${folder.path}`);
  return { folder: folder.path, metrics, ...(evaluation && { evaluation }) };
}

/**
 * SIGINT, SIGTERM, SIGHUP and SIGPIPE: while the loop runs, the first is noted for it to stop at the end of its step; at other times, and
 * the second time, the process ends at once, which no file minds.
 */
class Signals {
  received: Signal | undefined;
  #since = 0;
  #deferred = false;
  readonly #listeners: readonly (readonly [Signal, () => void])[];

  constructor(onEnd: (signal: Signal) => void) {
    const listen = (signal: Signal) => () => {
      // Ctrl-C under npm comes twice, from the terminal and from npm; and every write to a closed output raises a SIGPIPE.
      const isEcho = signal === 'SIGPIPE' || performance.now() - this.#since < 300;
      if (!this.#deferred || (this.received && !isEcho)) {
        onEnd(signal);
        process.exit(exitCodes[signal]);
      }
      if (!this.received) this.#since = performance.now();
      this.received ??= signal;
    };
    this.#listeners = (Object.keys(exitCodes) as Signal[]).map((signal) => [signal, listen(signal)]);
    for (const [signal, listener] of this.#listeners) process.on(signal, listener);
  }

  async deferring(run: () => Promise<void>): Promise<void> {
    this.#deferred = true;
    try {
      await run();
    } finally {
      this.#deferred = false;
    }
  }

  close(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener);
  }
}
