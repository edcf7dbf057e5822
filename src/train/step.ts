// A recorded training step: views, the method's passes and loss, the optimizer, metrics.
import { Tape } from '../core/tape.js';
import { ConfigError, ShapeError } from '../errors.js';
import type { Method, StepOutputs, Summary } from '../methods/method.js';
import type { Network } from '../methods/network.js';
import { collapse } from '../metrics/collapse.js';
import { type Correlation, correlation } from '../metrics/correlation.js';
import type { ImageBatch } from '../ops/augment.js';
import type { Optimizer } from '../optim/optimizer.js';
import { learningRate } from '../optim/schedule.js';
import type { Device } from '../runtime/device.js';
import type { Plan } from '../runtime/plan.js';
import { type Range, Readback } from '../runtime/readback.js';
import { isDense, viewText } from '../tensor/footprint.js';
import { numel, type Tensor } from '../tensor/tensor.js';
import type { Settled } from './options.js';
import type { Schedule } from './schedule.js';
import { augmentedViews } from './views.js';

/** The inputs of the recording. */
interface StepParts {
  readonly method: Method;
  readonly schedule: Schedule;
  readonly options: Settled;
}

/** A recorded training step: one plan from images to updated weights, and its outputs. */
export class TrainingStep {
  readonly plan: Plan;
  readonly #method: Method;
  readonly #schedule: Schedule;
  readonly #device: Device;
  readonly #seed: number;
  readonly #outputs: StepOutputs;
  readonly #optimizer: Optimizer;
  #metrics: Readback | undefined;
  #embeddings: Readback | undefined;

  /** Records a step; `compile()` makes it ready to run. */
  constructor(plan: Plan, { method, schedule, options }: StepParts, network: Network, images: ImageBatch) {
    this.#device = plan.device;
    this.#seed = options.seed;
    this.#method = method;
    this.#schedule = schedule;
    this.plan = plan;
    const { parameters } = network;
    plan.clear({ storage: parameters.grads, offset: 0, bytes: parameters.size * 4 });
    this.#outputs = method.record(
      new Tape(plan, { recompute: options.recompute }),
      network,
      augmentedViews(plan, images, options),
    );
    const { metrics, embeddings } = this.#outputs;
    for (const [name, output] of Object.entries({ ...metrics, ...embeddings })) {
      if (output.half || output.integer || !isDense(output))
        throw new ShapeError(
          `train: expected ${name} to be a dense f32 tensor, got ${viewText(output)}; copy it by contiguous()`,
        );
      plan.retain(output);
    }
    this.#optimizer = plan.phase('optimizer', () => options.optimizer(plan, parameters));
    plan.assertReached();
    const own = plan.sourceOf('lr');
    if (own)
      throw new ConfigError(
        `train: expected an optimizer without a learning rate of its own, got ${own}; give lr to the trainer, which has a schedule`,
      );
    plan.phase('update', () => this.#outputs.update?.());
    checkAverage(plan, network, method);
  }

  /** The optimizer's state, laid out like the weights. */
  get moments(): Optimizer['moments'] {
    return this.#optimizer.moments;
  }

  /** The kernel variants in use, by the key of the choice. */
  get choices(): Record<string, string> {
    return Object.fromEntries(this.plan.choices.map(({ id, chosen }) => [id, chosen.name]));
  }

  async compile(onCompile?: (done: number, total: number) => void): Promise<void> {
    await this.plan.compile(onCompile);
    const ranges = (tensors: Readonly<Record<string, Tensor>>): Record<string, Range> =>
      Object.fromEntries(
        Object.entries(tensors).map(([name, x]) => [name, { ...this.plan.resolve(x), bytes: numel(x.shape) * 4 }]),
      );
    this.#metrics = new Readback(this.#device, 'metrics', ranges(this.#outputs.metrics));
    this.#embeddings = new Readback(this.#device, 'embeddings', ranges(this.#outputs.embeddings));
  }

  /** Submits the run's step, counted from 0. Its rate is known at once, its log when the GPU is done. */
  run(step: number): { lr: number; log: Promise<Summary> } {
    const lr = learningRate(step, this.#schedule);
    const ema = this.#method.momentum?.(step, this.#schedule.steps) ?? 1;
    this.plan.run({ step, seed: this.#seed, lr, ema });
    const metrics = (this.#metrics as Readback).snapshot();
    return { lr, log: metrics.then((values) => this.#outputs.summarize(values)) };
  }

  /** Mean standard deviation and effective rank of the embeddings, `std.zA` and so on. */
  async measureCollapse(): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    const batches = await (this.#embeddings as Readback).snapshot();
    for (const [name, { shape }] of Object.entries(this.#outputs.embeddings)) {
      if (!batches[name].every(Number.isFinite)) continue; // the loss shows it
      const { meanStd, effectiveRank } = collapse(batches[name], shape[1]);
      found[`std.${name}`] = meanStd;
      found[`effectiveRank.${name}`] = effectiveRank;
    }
    return found;
  }

  /** C of zA and zB of the last step, its first 256 rows and columns at most. */
  async correlation(): Promise<Correlation> {
    const { zA, zB } = await (this.#embeddings as Readback).snapshot();
    return correlation(zA, zB, this.#outputs.embeddings.zA.shape[1], 256);
  }

  dispose(): void {
    this.#metrics?.dispose();
    this.#embeddings?.dispose();
    this.#optimizer.dispose();
    this.plan.dispose();
  }
}

/** Checks that an average that a method keeps is updated by each step, and has a momentum. */
function checkAverage(plan: Plan, { average }: Network, { momentum }: Pick<Method, 'momentum'>): void {
  if (!average) return;
  const moves = plan.dispatches.some(({ label }) => label === 'ema.update');
  if (moves && momentum) return;
  throw new ConfigError(
    `train: expected a method that averages to ${moves ? 'have momentum(step, steps)' : 'call network.updateAverage(plan) in update()'}, ` +
      'got none, and its average would never move',
  );
}
