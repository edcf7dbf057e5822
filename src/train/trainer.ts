// The trainer: opens a run, trains step by step, saves and resumes checkpoints, returns the encoders.
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
import { type RunCost, runCostOf } from './cost.js';
import { type Laid, layOut } from './lay_out.js';
import type { Settled, TrainerOptions } from './options.js';
import { type RecalibrateOptions, recalibrate } from './recalibrate.js';
import type { Schedule } from './schedule.js';
import { checkLoad, type Held, loadState, saveState } from './state.js';
import { TrainingStep } from './step.js';

/** What is logged of a step: the loss, its parts, and what the method measures besides. */
export interface StepMetrics extends Summary {
  /** Steps done, including this one. */
  step: number;
  /** Epochs completed before it. */
  epoch: number;
  lr: number;
}

/** A trained encoder: the network, of one width; its tensors by name; how it was trained. */
export interface TrainedEncoder {
  readonly encoder: Encoder;
  readonly state: Tensors;
  /** Side of its training images. */
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
  readonly schedule: Schedule;
  readonly #device: Device;
  readonly #loader: Loader;
  readonly #method: Method;
  readonly #options: Settled;
  /** What a checkpoint must match to be resumed by this run. */
  readonly #facts: Checkpoint['config'];
  /** Whether the slim encoder's channels are selected again during training. */
  readonly #selects: boolean;
  /** Fingerprint of the teacher. */
  #teacher: Float32Array | undefined;
  #recorded: TrainingStep | undefined;
  /** Bytes allocated for the whole run: the network and the optimizer state. */
  #lasting: number;
  #step = 0;
  /** Name of the pending async call, for re-entrancy errors. */
  #pending: string | undefined;
  #disposed = false;

  private constructor(device: Device, method: Method, loader: Loader, { schedule, options, facts }: Laid) {
    this.#device = device;
    this.#method = method;
    this.#loader = loader;
    this.schedule = schedule;
    this.#options = options;
    this.#facts = facts;
    this.#selects = method.sliced !== false && method.sliced.slice === 'l1';
    const { allocated } = device;
    this.network = new Network(device, method);
    this.#lasting = device.allocated - allocated;
    this.network.initialize(draws(options.seed, stream.init));
  }

  /**
   * Lays out the network, records a step and compiles it.
   *
   * @param method what to train and how, such as `saclXd(encoder)`, or a custom one
   * @throws ConfigError for an option that is unknown or invalid, fewer images than a batch, images smaller than the encoder's
   * stride, or a missing teacher; DataError for a checkpoint of another run, listing all differences, or for `init` that does
   * not match the encoders; OutOfMemoryError if a tensor exceeds the adapter's limits, before any activation is allocated
   */
  static async open(
    device: Device,
    method: Method,
    source: ImageSource,
    options: TrainerOptions = {},
  ): Promise<Trainer> {
    expectArguments('Trainer', { device });
    checkSource(source);
    const laid = layOut(device, method, source, options); // rejects what it can before decoding images
    const { batch, seed } = laid.options;
    const loader = await Loader.open(device, source, { batch, seed });
    let trainer: Trainer | undefined;
    try {
      trainer = new Trainer(device, method, loader, laid);
      if (method.teacher) trainer.#teacher = await fingerprint(method.teacher);
      if (laid.init && !laid.before) await trainer.network.loadEncoder(laid.init, 'init (--init)');
      await trainer.#open();
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

  /** Records the step, tunes it if requested, and compiles it. */
  async #open(): Promise<void> {
    const { variants, tune, onCompile } = this.#options;
    const { allocated } = this.#device;
    let step = this.#record(variants);
    try {
      this.#lasting += this.#device.allocated - allocated;
      if (tune && !Object.keys(variants).some(isNumbered)) {
        const tuned = await tune(step.plan);
        step.dispose();
        step = this.#record({ ...tuned, ...variants });
      }
      await step.compile(onCompile);
    } catch (error) {
      step.dispose();
      throw error;
    }
    this.#recorded = step;
  }

  /** A step that is not yet compiled. */
  #record(variants: Readonly<Record<string, string>>): TrainingStep {
    const plan = new Plan(this.#device, { label: 'step', variants });
    const parts = { method: this.#method, schedule: this.schedule, options: this.#options };
    try {
      return new TrainingStep(plan, parts, this.network, this.#loader);
    } catch (error) {
      plan.dispose();
      throw error;
    }
  }

  get #current(): TrainingStep {
    if (!this.#recorded) throw new DeviceError('train: used after dispose()');
    return this.#recorded;
  }

  /** The plan of a step. */
  get plan(): Plan {
    return this.#current.plan;
  }

  /** FLOPs and memory of the run, from its recorded step. */
  get cost(): RunCost {
    return runCostOf(this.plan, this.schedule, this.#options, this.#lasting);
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Steps in all. */
  get steps(): number {
    return this.schedule.steps;
  }

  /** The kernel variants in use, by their keys. */
  get choices(): Record<string, string> {
    return this.#current.choices;
  }

  /**
   * Runs one step, and resolves when its metrics are read back. The next batch is prepared while the GPU works. The last step of
   * an epoch also reports the mean standard deviation and the effective rank of embeddings and features, `std.zA` and so on.
   *
   * @throws ConfigError if the previous step, a save or a load is still pending, or all steps are done; DeviceLostError if
   * the device was lost: open another, and `load()` what was saved last
   */
  async train(): Promise<StepMetrics> {
    return this.#alone('train', async () => {
      if (this.#step >= this.steps) throw new ConfigError(`train: all ${this.steps} steps of the run are done`);
      return this.#train(this.#step);
    });
  }

  /**
   * Trains step by step until all are done or the loop is left; another loop continues from there.
   *
   * @throws NonFiniteError, naming the first tensor that is not finite, where the loss of a step is a NaN or infinity
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

  /** Runs what moves or copies the run's state while nothing else does: a step in between would make a copy inconsistent. */
  async #alone<T>(what: string, work: () => Promise<T>): Promise<T> {
    if (this.#disposed) throw new DeviceError(`${what}: used after dispose()`);
    if (this.#pending !== undefined) throw new ConfigError(`${what}: ${this.#pending} is pending; await it first`);
    this.#pending = what === 'train' ? `step ${this.#step + 1}` : `${what}()`;
    try {
      return await work();
    } finally {
      this.#pending = undefined;
    }
  }

  async #train(step: number): Promise<StepMetrics> {
    const recorded = this.#current;
    const changed = this.#reselects(step) ? await this.network.parameters.select() : undefined;
    await this.#loader.prepare(step);
    const { lr, log } = recorded.run(step);
    if (step + 1 < this.steps) this.#loader.prefetch(step + 1);
    const { stepsPerEpoch } = this.schedule;
    const ends = (step + 1) % stepsPerEpoch === 0 || step + 1 === this.steps;
    const [summary, collapsing] = await Promise.all([log, ends ? recorded.measureCollapse() : undefined]);
    this.#step = step + 1;
    const epoch = Math.floor(step / stepsPerEpoch);
    const selection = changed !== undefined && { channelsChanged: changed };
    return { step: this.#step, epoch, lr, ...summary, ...collapsing, ...selection };
  }

  /** Whether the slim encoder's channels are selected again before a step, by the weights after the previous step. */
  #reselects(step: number): boolean {
    const { sliceEvery, sliceWarmup = this.schedule.warmup } = this.#options;
    const after = step - sliceWarmup;
    return this.#selects && step > 0 && after >= 0 && after % sliceEvery === 0;
  }

  /**
   * Every tensor that defines the run at `step`: weights, running statistics, what the method carries, and the optimizer's moments.
   *
   * @throws ConfigError if a step is pending
   */
  async save(): Promise<Tensors> {
    return this.#alone('save', () => saveState(this.#device, this.network, this.#held));
  }

  /**
   * The complete state of the run, a safetensors file: `Trainer.open(device, method, source, { resume })` continues from there
   * bit-identically, given the same method, images and options. On another adapter results differ in the last bits.
   *
   * @throws ConfigError if a step is pending
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
   * Continues from the result of `save()` at `step`.
   *
   * @throws DataError for a step outside the run, or listing every tensor that is missing, extra or of another shape, or
   * saying that the teacher differs, before any is loaded; ConfigError if a step is pending
   */
  async load(step: number, tensors: Tensors): Promise<void> {
    if (!(Number.isInteger(step) && step >= 0 && step <= this.steps))
      throw new DataError(`checkpoint: expected a step from 0 to ${this.steps}, got ${step}`);
    await this.#alone('load', async () => {
      checkLoad(this.network, this.#held, tensors);
      await loadState(this.#device, this.network, this.#held, tensors);
      this.#step = step;
    });
  }

  /**
   * One encoder's backbone as torchvision names and shapes it; slim tensors are slices of the host's.
   *
   * @throws ConfigError if a step is pending
   */
  async encoderState(width: Width): Promise<Tensors> {
    return this.#alone('encoderState', () => this.network.encoderState(width));
  }

  /**
   * A standalone copy of one encoder, for `writeEncoder`, `ImageEncoder` and `exportOnnx`.
   *
   * @throws ConfigError if a step is pending
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
   * Re-estimates the running statistics of one encoder's backbone from images (`recalibrate`). They are part of the run
   * and of what is saved afterwards. With `bn` shared they are the other encoder's too.
   *
   * @throws ConfigError if a step is pending; DataError as `recalibrate`
   */
  async recalibrate(width: Width, images: ImageSource, options: RecalibrateOptions = {}): Promise<void> {
    await this.#alone('recalibrate', () =>
      recalibrate(this.#device, this.network.encoder(width), images, this.#options.imageSize, options),
    );
  }

  /**
   * The first tensor that holds a NaN or infinity, in the order in which the step computes them.
   *
   * @throws ConfigError if a step is pending
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
   * @throws ConfigError if a step is pending
   */
  async correlation(): Promise<Correlation> {
    return this.#alone('correlation', () => this.#current.correlation());
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#recorded?.dispose();
    this.#recorded = undefined;
    this.network.dispose();
    this.#loader.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Whether a key names a single variant choice, as those of checkpoints do, rather than all of an op. */
const isNumbered = (key: string) => / \d+$/.test(key);
