import { type Schedule, scheduleOf, type TrainConfig } from './config.js';
import { type Augmentation, augment, defaultViews } from './data/augment.js';
import { Loader } from './data/loader.js';
import { philox, stream, unit, type Words } from './data/philox.js';
import type { ImageSource } from './data/source.js';
import { backbone } from './encoders/backbone.js';
import { ConfigError, DataError } from './errors.js';
import { collapse } from './eval/collapse.js';
import { checkState } from './io/checkpoint.js';
import { barlowTwins } from './methods/barlow_twins.js';
import { Network } from './methods/network.js';
import type { MethodSettings, Objective, Views } from './methods/objective.js';
import { sacl } from './methods/sacl.js';
import { saclXd } from './methods/sacl_xd.js';
import { xd } from './methods/xd.js';
import { adamw } from './optim/adamw.js';
import { lars } from './optim/lars.js';
import type { Optimizer } from './optim/optimizer.js';
import { learningRate } from './optim/schedule.js';
import { sgd } from './optim/sgd.js';
import type { Random, Tensors, Width } from './parameters.js';
import type { Device } from './runtime/device.js';
import { Plan } from './runtime/plan.js';
import { Readback } from './runtime/readback.js';
import { type TuneOptions, tune } from './runtime/tuner.js';
import { numel } from './tensor.js';

/** What a step tells: the loss, its parts, and the correlations behind them. */
export interface StepMetrics {
  step: number;
  epoch: number;
  lr: number;
  loss: number;
  [part: string]: number;
}

export interface TrainerOptions {
  /** Kernel variants to use, as a checkpoint names them. */
  variants?: Readonly<Record<string, string>>;
  /** Try the kernels' variants on the adapter first, and use those that win; `variants` stand where they name one. */
  tune?: TuneOptions;
  /** Called as pipelines are compiled. */
  onCompile?: (done: number, total: number) => void;
}

/**
 * Trains a network on a source of pictures, a step at a time. A step is one replay of one plan: make both views, pass
 * them through host and slim encoder, correlate, go back, update.
 */
export class Trainer {
  readonly plan: Plan;
  readonly network: Network;
  readonly config: TrainConfig;
  readonly schedule: Schedule;
  readonly #device: Device;
  readonly #loader: Loader;
  readonly #objective: Objective;
  readonly #optimizer: Optimizer;
  readonly #readback: Readback;
  /** Embeddings and features that are watched for collapse. */
  readonly #watched: { readonly name: string; readonly shape: readonly number[]; readonly readback: Readback }[] = [];
  #step = 0;
  #isBusy = false;

  private constructor(
    device: Device,
    config: TrainConfig,
    loader: Loader,
    network: Network,
    plan: Plan,
    schedule: Schedule,
  ) {
    this.#device = device;
    this.config = config;
    this.schedule = schedule;
    this.network = network;
    this.plan = plan;
    this.#loader = loader;
    const [a, b] = viewsOf(config);
    const { precision } = config;
    const views = { a: augment(plan, loader, 0, a, precision), b: augment(plan, loader, 1, b, precision) };
    plan.clear({ storage: network.parameters.grads, offset: 0, bytes: network.parameters.size * 4 });
    this.#objective = methods[config.method](plan, network, views, config);
    this.#optimizer = plan.phase('optimizer', () => optimizerOf(plan, network, config));
    const { metrics } = this.#objective;
    this.#readback = new Readback(device, metrics.storage as GPUBuffer, metrics.bytes);
  }

  /**
   * Lays out the network, records a step and compiles it.
   *
   * @throws ConfigError where the pictures are fewer than a batch; OutOfMemoryError where a tensor is over the adapter's
   * limits, before any activation is allocated.
   */
  static async open(
    device: Device,
    config: TrainConfig,
    source: ImageSource,
    options: TrainerOptions = {},
  ): Promise<Trainer> {
    const schedule = scheduleOf(config, source.length);
    const loader = await Loader.open(device, source, { batch: config.batch, seed: config.seed });
    let trainer: Trainer | undefined;
    try {
      const record = (variants: TrainerOptions['variants']) =>
        Trainer.#record(device, config, loader, schedule, variants);
      trainer = record(options.variants);
      if (options.tune) {
        const tuned = await tune(trainer.plan, options.tune);
        trainer.#disposeStep();
        trainer = undefined;
        trainer = record({ ...tuned, ...options.variants });
      }
      await trainer.plan.compile(options.onCompile);
      trainer.#watch();
      return trainer;
    } catch (error) {
      if (trainer) trainer.#disposeStep();
      loader.dispose();
      throw error;
    }
  }

  /** A trainer whose step is recorded and not yet compiled. */
  static #record(
    device: Device,
    config: TrainConfig,
    loader: Loader,
    schedule: Schedule,
    variants: TrainerOptions['variants'],
  ): Trainer {
    const plan = new Plan(device, { label: 'step', ...(variants && { variants }) });
    let network: Network | undefined;
    try {
      network = networkOf(device, config);
      return new Trainer(device, config, loader, network, plan, schedule);
    } catch (error) {
      plan.dispose();
      network?.dispose();
      throw error;
    }
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  /** Steps in all. */
  get steps(): number {
    return this.schedule.steps;
  }

  /** The kernel variants in use, by the key of the choice. */
  get choices(): Record<string, string> {
    return Object.fromEntries(this.plan.choices.map(({ id, chosen }) => [id, chosen.name]));
  }

  /**
   * Does one step, and resolves when its log is read back. The next batch is prepared while the GPU works. The last step of
   * an epoch also tells the mean standard deviation and the effective rank of embeddings and features, `std.zA` and so on.
   *
   * @throws ConfigError where the step before is still under way, or all steps are done; DeviceLostError where the device
   * went away: open another, and `load()` what was saved last
   */
  async train(): Promise<StepMetrics> {
    if (this.#isBusy) throw new ConfigError(`train: step ${this.#step + 1} is under way; await it before the next`);
    if (this.#step >= this.steps) throw new ConfigError(`train: all ${this.steps} steps of the run are done`);
    this.#isBusy = true;
    try {
      return await this.#train(this.#step);
    } finally {
      this.#isBusy = false;
    }
  }

  async #train(step: number): Promise<StepMetrics> {
    const { seed, beta1, beta2 } = this.config;
    const lr = learningRate(step, this.schedule);
    await this.#loader.prepare(step);
    this.plan.run({ step, seed, lr, bias1: 1 - beta1 ** (step + 1), bias2: 1 - beta2 ** (step + 1) });
    const log = this.#readback.snapshot();
    if (step + 1 < this.steps) this.#loader.prefetch(step + 1);
    const { stepsPerEpoch } = this.schedule;
    const ends = (step + 1) % stepsPerEpoch === 0 || step + 1 === this.steps;
    const [values, collapsing] = await Promise.all([log, ends ? this.#measureCollapse() : undefined]);
    this.#step = step + 1;
    const epoch = Math.floor(step / stepsPerEpoch);
    return { step: this.#step, epoch, lr, ...this.#objective.summarize(values), ...collapsing };
  }

  /** Every tensor that defines the run at `step`: weights, running statistics, and the optimizer's moments. */
  async save(): Promise<Tensors> {
    const tensors: Tensors = await this.network.parameters.read();
    for (const [moment, buffer] of Object.entries(this.#optimizer.moments)) {
      const values = new Float32Array(await this.#device.read(buffer));
      for (const { name, shape, offset, length } of this.network.parameters.places)
        tensors.set(`${moment}.${name}`, { shape, data: values.slice(offset, offset + length) });
    }
    return tensors;
  }

  /**
   * Continues from what `save()` gave at `step`.
   *
   * @throws DataError for a step that the run does not have, or one that lists every tensor that is missing, extra or of
   * another shape, before any is taken.
   */
  async load(step: number, tensors: Tensors): Promise<void> {
    if (!(Number.isInteger(step) && step >= 0 && step <= this.steps))
      throw new DataError(`checkpoint: expected a step from 0 to ${this.steps}, got ${step}`);
    const { parameters } = this.network;
    const { shapes } = parameters;
    const moments = Object.entries(this.#optimizer.moments);
    const ofMoments = moments.flatMap(([moment]) =>
      parameters.places.map(({ name, shape }) => [`${moment}.${name}`, shape] as const),
    );
    checkState(tensors, new Map([...shapes, ...ofMoments]), 'checkpoint');

    const saved = (name: string) => (tensors.get(name) as { data: Float32Array }).data;
    for (const name of shapes.keys()) parameters.write(name, saved(name));
    for (const [moment, buffer] of moments)
      for (const { name, offset } of parameters.places)
        this.#device.write(buffer, saved(`${moment}.${name}`), offset * 4);
    await this.#device.settled();
    this.#step = step;
  }

  /** One encoder's backbone as torchvision names and shapes it; slim tensors are cut out of the host's. */
  async encoderState(width: Width): Promise<Tensors> {
    return this.network.encoderState(width);
  }

  /** The first tensor that holds a NaN or infinity, in the order in which the step computes them. */
  async firstNonFinite(): Promise<string | undefined> {
    const { parameters, encoder, head } = this.network;
    const state = await parameters.read();
    const grads = new Float32Array(await this.#device.read(parameters.grads));
    const finite = (data: Float32Array | undefined) => data?.every(Number.isFinite) ?? true;
    for (const { name } of [...encoder.statistics, ...head.statistics])
      for (const width of ['host', 'slim']) if (!finite(state.get(`${width}.${name}`)?.data)) return `${width}.${name}`;
    for (const { name, offset, length } of parameters.places.toReversed())
      if (!finite(grads.subarray(offset, offset + length))) return `gradient of ${name}`;
    return parameters.names.find((name) => !finite(state.get(name)?.data));
  }

  /** C of (z^A, z^B) of the last step, its first 256 rows and columns at most. */
  async correlation(): Promise<{ size: number; data: Float32Array<ArrayBuffer> }> {
    const { a, b } = this.#objective.embeddings;
    const [N, D] = a.shape;
    const size = Math.min(D, 256);
    const [za, zb] = [
      standardized(await this.plan.read(a), N, D, size),
      standardized(await this.plan.read(b), N, D, size),
    ];
    const data = new Float32Array(size * size);
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++) {
        let sum = 0;
        for (let n = 0; n < N; n++) sum += za[i * N + n] * zb[j * N + n];
        data[i * size + j] = sum / N;
      }
    return { size, data };
  }

  dispose(): void {
    this.#disposeStep();
    this.#loader.dispose();
  }

  /** Frees all but the loader. */
  #disposeStep(): void {
    for (const { readback } of [...this.#watched, { readback: this.#readback }]) readback.dispose();
    this.#optimizer.dispose();
    this.#objective.dispose();
    this.plan.dispose();
    this.network.dispose();
  }

  #watch(): void {
    const { embeddings, features } = this.#objective;
    const tensors = { zA: embeddings.a, zB: embeddings.b, featuresA: features.a, featuresB: features.b };
    for (const [name, x] of Object.entries(tensors)) {
      const { buffer } = this.plan.resolve(x); // a kept slot has a buffer of its own
      this.#watched.push({ name, shape: x.shape, readback: new Readback(this.#device, buffer, x.bytes) });
    }
  }

  async #measureCollapse(): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    for (const { name, shape, readback } of this.#watched) {
      const data = (await readback.snapshot()).subarray(0, numel(shape));
      if (!data.every(Number.isFinite)) continue; // the loss tells
      const { meanStd, effectiveRank } = collapse(data, shape[1]);
      found[`std.${name}`] = meanStd;
      found[`effectiveRank.${name}`] = effectiveRank;
    }
    return found;
  }
}

/** One encoder as the seed makes it, before any step: what a trained one is measured against. */
export async function initialState(device: Device, config: TrainConfig, width: Width): Promise<Tensors> {
  const network = networkOf(device, config);
  try {
    return await network.encoderState(width);
  } finally {
    network.dispose();
  }
}

/** The network of a run, with its first weights. */
function networkOf(device: Device, config: TrainConfig): Network {
  const lone = config.method === 'xd' || config.method === 'barlow_twins';
  const network = new Network(device, backbone(config), config.projector, { lone });
  network.parameters.initialize(initialDraws(config.seed));
  return network;
}

/** The random transformations of views A and B that a configuration asks for. */
function viewsOf(config: TrainConfig): [Augmentation, Augmentation] {
  const [a, b] = defaultViews(config.imageSize);
  const shared = {
    crop: { scale: [config.cropMin, config.cropMax], ratio: a.crop.ratio },
    flip: config.flip,
    jitter: {
      p: config.jitter,
      brightness: config.brightness,
      contrast: config.contrast,
      saturation: config.saturation,
      hue: config.hue,
    },
    grayscale: config.gray,
  } as const;
  return [
    { ...a, ...shared, blur: { ...a.blur, p: config.blurA }, solarize: config.solarizeA },
    { ...b, ...shared, blur: { ...b.blur, p: config.blurB }, solarize: config.solarizeB },
  ];
}

/** Draws in [0, 1) for the first weights of a run. */
function initialDraws(seed: number): Random {
  let words: Words = [0, 0, 0, 0];
  let drawn = 0;
  return () => {
    if (drawn % 4 === 0) words = philox([seed, drawn / 4, 0, 0], [0, stream.init]);
    return unit(words[drawn++ % 4]);
  };
}

const methods: Record<
  TrainConfig['method'],
  (plan: Plan, network: Network, views: Views, settings: MethodSettings) => Objective
> = {
  sacl_xd: saclXd,
  sacl,
  xd,
  barlow_twins: barlowTwins,
};

function optimizerOf(plan: Plan, { parameters }: Network, config: TrainConfig): Optimizer {
  const { momentum, weightDecay, nesterov, decayAll, trust, clip, beta1, beta2, eps } = config;
  if (config.optimizer === 'lars') return lars(plan, parameters, { momentum, weightDecay, trust, clip });
  if (config.optimizer === 'adamw') return adamw(plan, parameters, { beta1, beta2, eps, weightDecay });
  return sgd(plan, parameters, { momentum, weightDecay, nesterov, decayAll });
}

/** The first `size` columns of z (N, D), each with mean 0 and variance 1, column by column. */
function standardized(z: Float32Array, N: number, D: number, size: number): Float64Array {
  const out = new Float64Array(size * N);
  for (let d = 0; d < size; d++) {
    let sum = 0;
    let squares = 0;
    for (let n = 0; n < N; n++) sum += z[n * D + d];
    const mean = sum / N;
    for (let n = 0; n < N; n++) squares += (z[n * D + d] - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / N + 1e-5);
    for (let n = 0; n < N; n++) out[d * N + n] = (z[n * D + d] - mean) * scale;
  }
  return out;
}
