import { type Schedule, scheduleOf, type TrainConfig } from './config.js';
import { Loader } from './data/loader.js';
import { draws, stream } from './data/philox.js';
import type { ImageSource } from './data/source.js';
import { ConfigError, DataError, DeviceError } from './errors.js';
import type { Correlation } from './eval/correlation.js';
import { type RecalibrateOptions, recalibrate } from './eval/recalibrate.js';
import type { Method, Summary } from './methods/method.js';
import { methods } from './methods/methods.js';
import { Network } from './methods/network.js';
import { checkTeacher, fingerprint, type Teacher } from './methods/teacher.js';
import type { Tensors, Width } from './parameters.js';
import type { Device } from './runtime/device.js';
import { Plan } from './runtime/plan.js';
import { type TuneOptions, tune } from './runtime/tuner.js';
import { Stage, type Stretch, stretchesOf } from './train/stage.js';
import { checkLoad, type Held, loadState, saveState } from './train/state.js';

/** What a step tells: the loss, its parts, and what the method measures besides. */
export interface StepMetrics extends Summary {
  /** Steps done, this one among them. */
  step: number;
  /** Epochs that were done before it. */
  epoch: number;
  lr: number;
}

export interface TrainerOptions {
  /** The trained encoder that the method learns from, where it does. It stays the caller's, and as it is. */
  teacher?: Teacher;
  /** Kernel variants to use, as a checkpoint names them. */
  variants?: Readonly<Record<string, string>>;
  /** Try the kernels' variants on the adapter first, and use those that win; `variants` stand where they name one. */
  tune?: TuneOptions;
  /** Called as pipelines are compiled. */
  onCompile?: (done: number, total: number) => void;
}

/**
 * Trains by a method on a source of pictures, a step at a time. A step is one replay of one plan: make the views, pass
 * them through the networks, go back, update.
 */
export class Trainer {
  readonly network: Network;
  readonly config: TrainConfig;
  readonly schedule: Schedule;
  readonly #device: Device;
  readonly #loader: Loader;
  readonly #stretches: readonly Stretch[];
  readonly #options: TrainerOptions;
  #stage: Stage | undefined;
  /** The kernel variants of all stretches that are known so far. */
  #variants: Readonly<Record<string, string>>;
  /** What tells the teacher from another. */
  #teacher: Float32Array | undefined;
  #step = 0;
  /** What is under way that others must wait for. */
  #under: string | undefined;
  #disposed = false;

  private constructor(device: Device, config: TrainConfig, loader: Loader, images: number, options: TrainerOptions) {
    this.#device = device;
    this.config = config;
    const schedule = scheduleOf(config, images);
    this.schedule = schedule;
    this.#loader = loader;
    this.#options = options;
    this.#variants = options.variants ?? {};
    const method: Method = methods[config.method](config, options.teacher);
    this.#stretches = stretchesOf(method, config, images, schedule);
    this.network = new Network(device, method);
    this.network.initialize(draws(config.seed, stream.init));
  }

  /**
   * Lays out the network, records a step and compiles it.
   *
   * @throws ConfigError where the pictures are fewer than a batch, or there is no teacher to distil from; OutOfMemoryError
   * where a tensor is over the adapter's limits, before any activation is allocated.
   */
  static async open(
    device: Device,
    config: TrainConfig,
    source: ImageSource,
    options: TrainerOptions = {},
  ): Promise<Trainer> {
    scheduleOf(config, source.length); // refuses too few pictures before any is decoded
    checkTeacher(config, options.teacher);
    const loader = await Loader.open(device, source, { batch: config.batch, seed: config.seed });
    let trainer: Trainer | undefined;
    try {
      trainer = new Trainer(device, config, loader, source.length, options);
      if (options.teacher) trainer.#teacher = await fingerprint(options.teacher);
      await trainer.#enter(0);
      return trainer;
    } catch (error) {
      trainer?.dispose();
      loader.dispose();
      throw error;
    }
  }

  /** The stage of a step, counted from 0: the one under way, or another in its place. */
  async #enter(step: number): Promise<Stage> {
    if (this.#disposed) throw new DeviceError('train: used after dispose()');
    const stretch = this.#stretches.findLast(({ first }) => first <= step) as Stretch;
    if (this.#stage?.stretch === stretch) return this.#stage;
    this.#stage?.dispose();
    this.#stage = undefined;
    const { tune: tuning, onCompile } = this.#options;
    const variants = this.#variantsOf(stretch);
    let stage = this.#record(stretch, variants);
    try {
      if (tuning && !Object.keys(variants).some(isNumbered)) {
        const tuned = await tune(stage.plan, tuning);
        stage.dispose();
        stage = this.#record(stretch, { ...tuned, ...variants });
      }
      await stage.compile(onCompile);
    } catch (error) {
      stage.dispose();
      throw error;
    }
    this.#stage = stage;
    const others = Object.entries(this.#variants).filter(([key]) => !isNumbered(key) || this.#owner(key) !== stretch);
    this.#variants = { ...Object.fromEntries(others), ...stage.choices };
    return stage;
  }

  /** The kernel variants of a stretch, as far as they are known: its own choices, and all that name a kind. */
  #variantsOf(stretch: Stretch): Record<string, string> {
    const own = Object.entries(this.#variants).flatMap(([key, variant]) => {
      if (!isNumbered(key)) return [[key, variant]];
      return this.#owner(key) === stretch ? [[key.slice(stretch.name.length), variant]] : [];
    });
    return Object.fromEntries(own);
  }

  /** The stretch that a choice belongs to, by the beginning of its key. */
  #owner(key: string): Stretch {
    const own = this.#stretches.find(({ name }) => name !== '' && key.startsWith(name));
    return own ?? (this.#stretches.at(-1) as Stretch);
  }

  /** A stage that is not yet compiled. */
  #record(stretch: Stretch, variants: Readonly<Record<string, string>>): Stage {
    const { network, config } = this;
    const plan = new Plan(this.#device, { label: 'step', variants });
    try {
      return new Stage({ plan, stretch, config }, network, this.#loader);
    } catch (error) {
      plan.dispose();
      throw error;
    }
  }

  /** The plan of the step under way, or of the next. */
  get plan(): Plan {
    return this.#current.plan;
  }

  get #current(): Stage {
    if (!this.#stage) throw new DeviceError('train: used after dispose(), or after a stage that could not be opened');
    return this.#stage;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Steps in all. */
  get steps(): number {
    const { first, schedule } = this.#stretches.at(-1) as Stretch;
    return first + schedule.steps;
  }

  /** The kernel variants that the run computes with, by the key of the choice: those of its stretches that are known so far. */
  get choices(): Record<string, string> {
    return Object.fromEntries(Object.entries(this.#variants).filter(([key]) => isNumbered(key)));
  }

  /**
   * Does one step, and resolves when its log is read back. The next batch is prepared while the GPU works. The last step of
   * an epoch also tells the mean standard deviation and the effective rank of embeddings and features, `std.zA` and so on.
   *
   * @throws ConfigError where the step before, or a save or load, is still under way, or all steps are done; DeviceLostError
   * where the device went away: open another, and `load()` what was saved last
   */
  async train(): Promise<StepMetrics> {
    return this.#alone('train', async () => {
      if (this.#step >= this.steps) throw new ConfigError(`train: all ${this.steps} steps of the run are done`);
      return this.#train(this.#step);
    });
  }

  /** Runs what moves or copies the run's state while nothing else does: between two of its reads a step would tear it. */
  async #alone<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#disposed) throw new DeviceError(`${what}: used after dispose()`);
    if (this.#under !== undefined) throw new ConfigError(`${what}: ${this.#under} is under way; await it first`);
    this.#under = what === 'train' ? `step ${this.#step + 1}` : `${what}()`;
    try {
      return await work();
    } finally {
      this.#under = undefined;
    }
  }

  async #train(step: number): Promise<StepMetrics> {
    const stage = await this.#enter(step);
    const changed = this.#reselects(step) ? await this.network.parameters.select() : undefined;
    await this.#loader.prepare(step);
    const { lr, log } = stage.run(step);
    if (step + 1 < this.steps) this.#loader.prefetch(step + 1);
    const { stepsPerEpoch } = this.schedule;
    const ends = (step + 1) % stepsPerEpoch === 0 || step + 1 === this.steps;
    const [summary, collapsing] = await Promise.all([log, ends ? stage.measureCollapse() : undefined]);
    this.#step = step + 1;
    if (this.#step < this.steps) await this.#enter(this.#step); // now, for a checkpoint holds the moments of the next step
    const epoch = Math.floor(step / stepsPerEpoch);
    const selection = changed !== undefined && { channelsChanged: changed };
    return { step: this.#step, epoch, lr, ...summary, ...collapsing, ...selection };
  }

  /** Whether the slim encoder's channels are selected anew before a step, by the weights that the step before it left. */
  #reselects(step: number): boolean {
    const { slice, sliceEvery, sliceWarmup } = this.config;
    const after = step - (sliceWarmup ?? this.schedule.warmup);
    return slice === 'l1' && step > 0 && after >= 0 && after % sliceEvery === 0;
  }

  /**
   * Every tensor that defines the run at `step`: weights, running statistics, what the method carries, and the optimizer's moments.
   *
   * @throws ConfigError where a step is under way
   */
  async save(): Promise<Tensors> {
    return this.#alone('save', () => saveState(this.#device, this.network, this.#held));
  }

  get #held(): Held {
    return { moments: this.#current.moments, teacher: this.#teacher };
  }

  /**
   * Continues from what `save()` gave at `step`.
   *
   * @throws DataError for a step that the run does not have, or one that lists every tensor that is missing, extra or of
   * another shape, or says that the teacher is another, before any is taken; ConfigError where a step is under way
   */
  async load(step: number, tensors: Tensors): Promise<void> {
    if (!(Number.isInteger(step) && step >= 0 && step <= this.steps))
      throw new DataError(`checkpoint: expected a step from 0 to ${this.steps}, got ${step}`);
    await this.#alone('load', async () => {
      checkLoad(this.network, this.#held, tensors); // moments have the same names in all stages
      await this.#enter(Math.min(step, this.steps - 1));
      await loadState(this.#device, this.network, this.#held, tensors);
      this.#step = step;
    });
  }

  /**
   * One encoder's backbone as torchvision names and shapes it; slim tensors are cut out of the host's.
   *
   * @throws ConfigError where a step is under way
   */
  async encoderState(width: Width): Promise<Tensors> {
    return this.#alone('encoderState', () => this.network.encoderState(width));
  }

  /**
   * Estimates the running statistics of one encoder's backbone anew from pictures (`recalibrate`). They are part of the run: what is
   * saved afterwards holds them. With `bn` shared they are the other encoder's too.
   *
   * @throws ConfigError where a step is under way; DataError as `recalibrate`
   */
  async recalibrate(width: Width, images: ImageSource, options: RecalibrateOptions = {}): Promise<void> {
    await this.#alone('recalibrate', () =>
      recalibrate(this.#device, this.network.encoder(width), images, this.config.imageSize, options),
    );
  }

  /**
   * The first tensor that holds a NaN or infinity, in the order in which the step computes them.
   *
   * @throws ConfigError where a step is under way
   */
  async firstNonFinite(): Promise<string | undefined> {
    return this.#alone('firstNonFinite', () => this.#firstNonFinite());
  }

  async #firstNonFinite(): Promise<string | undefined> {
    const { parameters, modules } = this.network;
    const state = await parameters.read();
    const grads = new Float32Array(await this.#device.read(parameters.grads));
    const finite = (data: Float32Array | undefined) => data?.every(Number.isFinite) ?? true;
    for (const { name } of modules.flatMap(({ statistics }) => statistics))
      for (const width of ['host', 'slim']) if (!finite(state.get(`${width}.${name}`)?.data)) return `${width}.${name}`;
    for (const { name, offset, length } of parameters.places.toReversed())
      if (!finite(grads.subarray(offset, offset + length))) return `gradient of ${name}`;
    return parameters.names.find((name) => !finite(state.get(name)?.data));
  }

  /**
   * C of (z^A, z^B) of the last step, its first 256 rows and columns at most.
   *
   * @throws ConfigError where a step is under way
   */
  async correlation(): Promise<Correlation> {
    return this.#alone('correlation', () => this.#current.correlation());
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#stage?.dispose();
    this.#stage = undefined;
    this.network.dispose();
    this.#loader.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Whether a key names one choice, as those of checkpoints do, and not all of a kind. */
const isNumbered = (key: string) => / \d+$/.test(key);

/** One encoder as the seed makes it, before any step: what a trained one is measured against. */
export async function initialState(device: Device, config: TrainConfig, width: Width): Promise<Tensors> {
  const network = new Network(device, methods[config.method](config));
  try {
    network.initialize(draws(config.seed, stream.init));
    return await network.encoderState(width);
  } finally {
    network.dispose();
  }
}
