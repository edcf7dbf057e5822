// The trainer: opens a run, trains step by step, makes and resumes checkpoints, gives the encoders.
import { expectArguments } from '../checks/arguments.js';
import type { Width } from '../core/parameters.js';
import { draws, stream } from '../core/random.js';
import type { Tensors } from '../core/state.js';
import { Loader } from '../data/loader.js';
import { checkSource, type ImageSource } from '../data/source.js';
import { type Encoder, slimOf } from '../encoders/encoder.js';
import { ConfigError, DataError, DeviceError, NonFiniteError } from '../errors.js';
import type { Checkpoint } from '../formats/checkpoint.js';
import { toTensors } from '../formats/safetensors.js';
import type { Method, Summary } from '../methods/method.js';
import { Network } from '../methods/network.js';
import { fingerprint } from '../methods/teacher.js';
import type { Correlation } from '../metrics/correlation.js';
import type { Device } from '../runtime/device.js';
import { Plan } from '../runtime/plan.js';
import { checkRecorded, writeRun } from './checkpoint.js';
import { type Laid, layOut } from './lay_out.js';
import type { Settled, TrainerOptions } from './options.js';
import { type RecalibrateOptions, recalibrate } from './recalibrate.js';
import type { Schedule } from './schedule.js';
import { checkLoad, type Held, loadState, saveState } from './state.js';
import { Stage, type Stretch } from './step.js';

/** What a step tells: the loss, its parts, and what the method measures besides. */
export interface StepMetrics extends Summary {
  /** Steps done, this one among them. */
  step: number;
  /** Epochs that were done before it. */
  epoch: number;
  lr: number;
}

/** An encoder that was trained: the network, of one width; its tensors by its own names; how it was trained. */
export interface TrainedEncoder {
  readonly encoder: Encoder;
  readonly state: Tensors;
  /** Side of the squares that it saw. */
  readonly imageSize: number;
  /** Steps of training. */
  readonly step: number;
  /** Which of the method's two encoders it is. */
  readonly part: Width;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Trains by a method on a source of images, a step at a time: `train()`, or `for await (const metrics of trainer)`. A step is
 * one replay of one plan: make the views, pass them through the networks, go back, update.
 */
export class Trainer {
  readonly network: Network;
  /** That of the method, without what it lets come before. */
  readonly schedule: Schedule;
  readonly #device: Device;
  readonly #loader: Loader;
  readonly #stretches: readonly Stretch[];
  readonly #options: Settled;
  /** What a checkpoint of this run has in common with it. */
  readonly #facts: Checkpoint['config'];
  /** Whether the slim encoder's channels are selected again during training. */
  readonly #selects: boolean;
  #stage: Stage | undefined;
  /** The kernel variants of all stretches that are known so far. */
  #variants: Readonly<Record<string, string>>;
  /** What tells the teacher from another. */
  #teacher: Float32Array | undefined;
  #step = 0;
  /** Name of the pending async call, for re-entrancy errors. */
  #under: string | undefined;
  #disposed = false;

  private constructor(device: Device, method: Method, loader: Loader, { stretches, options, facts, variants }: Laid) {
    this.#device = device;
    this.schedule = (stretches.at(-1) as Stretch).schedule;
    this.#loader = loader;
    this.#options = options;
    this.#facts = facts;
    this.#variants = variants;
    this.#stretches = stretches;
    this.#selects = method.sliced !== false && method.sliced.slice === 'l1';
    this.network = new Network(device, method);
    this.network.initialize(draws(options.seed, stream.init));
  }

  /**
   * Lays out the network, records a step and compiles it.
   *
   * @param method what to train and how, as `saclXd(encoder)`, or one of your own
   * @throws ConfigError for an option that is unknown or wrong, images that are fewer than a batch or smaller than the encoder's
   * stride, or where there is no teacher to distil from; DataError for bytes to resume that are those of another run, all that
   * differs by name; OutOfMemoryError where a tensor is over the adapter's limits, before any activation is allocated
   */
  static async open(
    device: Device,
    method: Method,
    source: ImageSource,
    options: TrainerOptions = {},
  ): Promise<Trainer> {
    expectArguments('Trainer', { device });
    checkSource(source);
    const laid = layOut(device, method, source, options); // refuses what it can before any image is decoded
    const { batch, seed } = laid.options;
    const loader = await Loader.open(device, source, { batch, seed });
    let trainer: Trainer | undefined;
    try {
      trainer = new Trainer(device, method, loader, laid);
      if (method.teacher) trainer.#teacher = await fingerprint(method.teacher);
      await trainer.#enter(laid.before?.step ?? 0);
      if (laid.before) await trainer.#resume(laid.before);
      return trainer;
    } catch (error) {
      trainer?.dispose();
      loader.dispose();
      throw error;
    }
  }

  async #resume(before: Checkpoint): Promise<void> {
    checkRecorded(before, this.plan, this.#options.recompute);
    await this.load(before.step, toTensors(before.tensors, 'checkpoint'));
  }

  /** The stage of a step, counted from 0; after the last step, that of the last. */
  async #enter(step: number): Promise<Stage> {
    if (this.#disposed) throw new DeviceError('train: used after dispose()');
    const stretch = this.#stretches.findLast(({ first }) => first <= step) as Stretch;
    if (this.#stage?.stretch === stretch) return this.#stage;
    this.#stage?.dispose();
    this.#stage = undefined;
    const { tune, onCompile } = this.#options;
    const variants = this.#variantsOf(stretch);
    let stage = this.#record(stretch, variants);
    try {
      if (tune && !Object.keys(variants).some(isNumbered)) {
        const tuned = await tune(stage.plan);
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
    const plan = new Plan(this.#device, { label: 'step', variants });
    try {
      return new Stage({ plan, stretch, options: this.#options }, this.network, this.#loader);
    } catch (error) {
      plan.dispose();
      throw error;
    }
  }

  /** The plan of the current step, or of the next. */
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
   * @throws ConfigError where the step before, or a save or load, is still pending, or all steps are done; DeviceLostError
   * where the device went away: open another, and `load()` what was saved last
   */
  async train(): Promise<StepMetrics> {
    return this.#alone('train', async () => {
      if (this.#step >= this.steps) throw new ConfigError(`train: all ${this.steps} steps of the run are done`);
      return this.#train(this.#step);
    });
  }

  /**
   * Trains step by step until all are done, or the loop is left; then others may go on where it ended.
   *
   * @throws NonFiniteError, by the first tensor that is to blame, where the loss of a step is a NaN or infinity
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<StepMetrics, void, undefined> {
    while (this.#step < this.steps) {
      const metrics = await this.train();
      if (!Number.isFinite(metrics.loss)) {
        const first = (await this.firstNonFinite()) ?? 'none';
        throw new NonFiniteError(
          `train: step ${metrics.step} has loss ${metrics.loss}, first tensor not finite: ${first}; try a lower lr or longer warmup`,
        );
      }
      yield metrics;
    }
  }

  /** Runs what moves or copies the run's state while nothing else does: between two of its reads a step would tear it. */
  async #alone<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#disposed) throw new DeviceError(`${what}: used after dispose()`);
    if (this.#under !== undefined) throw new ConfigError(`${what}: ${this.#under} is pending; await it first`);
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

  /** Whether the slim encoder's channels are selected again before a step, by the weights that the step before it left. */
  #reselects(step: number): boolean {
    const { sliceEvery, sliceWarmup = this.schedule.warmup } = this.#options;
    const after = step - sliceWarmup;
    return this.#selects && step > 0 && after >= 0 && after % sliceEvery === 0;
  }

  /**
   * Every tensor that defines the run at `step`: weights, running statistics, what the method carries, and the optimizer's moments.
   *
   * @throws ConfigError where a step is pending
   */
  async save(): Promise<Tensors> {
    return this.#alone('save', () => saveState(this.#device, this.network, this.#held));
  }

  /**
   * All of the run as it stands, a safetensors file: `Trainer.open(device, method, source, { resume })` goes on from there bit for
   * bit, given the same method, images and options. On another adapter it goes on too, but its last bits are others.
   *
   * @throws ConfigError where a step is pending
   */
  async checkpoint(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#alone('checkpoint', async () => {
      const { plan, choices: variants } = this;
      const tensors = await saveState(this.#device, this.network, this.#held);
      const { recompute } = this.#options;
      return writeRun({ step: this.#step, facts: this.#facts, recompute, plan, variants, tensors });
    });
  }

  get #held(): Held {
    return { moments: this.#current.moments, teacher: this.#teacher };
  }

  /**
   * Continues from what `save()` gave at `step`.
   *
   * @throws DataError for a step that the run does not have, or one that lists every tensor that is missing, extra or of
   * another shape, or says that the teacher is another, before any is taken; ConfigError where a step is pending
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
   * @throws ConfigError where a step is pending
   */
  async encoderState(width: Width): Promise<Tensors> {
    return this.#alone('encoderState', () => this.network.encoderState(width));
  }

  /**
   * One encoder as it is now, by itself: what `writeEncoder` keeps, and `ImageEncoder` and `exportOnnx` take.
   *
   * @throws ConfigError where a step is pending
   */
  async encoder(width: Width): Promise<TrainedEncoder> {
    return this.#alone('encoder', async () => {
      const { module, parameters, width: part } = this.network.encoder(width);
      return {
        encoder: part === 'slim' ? slimOf(module) : module,
        state: await parameters.state(module, part),
        imageSize: this.#options.imageSize,
        step: this.#step,
        part: width,
        metadata: {},
      };
    });
  }

  /**
   * Re-estimates the running statistics of one encoder's backbone from images (`recalibrate`). They are part of the run: what is
   * saved afterwards holds them. With `bn` shared they are the other encoder's too.
   *
   * @throws ConfigError where a step is pending; DataError as `recalibrate`
   */
  async recalibrate(width: Width, images: ImageSource, options: RecalibrateOptions = {}): Promise<void> {
    await this.#alone('recalibrate', () =>
      recalibrate(this.#device, this.network.encoder(width), images, this.#options.imageSize, options),
    );
  }

  /**
   * The first tensor that holds a NaN or infinity, in the order in which the step computes them.
   *
   * @throws ConfigError where a step is pending
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
   * @throws ConfigError where a step is pending
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
