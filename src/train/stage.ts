import { mostSteps, type Schedule, scheduleOf, type TrainConfig } from '../config.js';
import type { Pictures } from '../data/augment.js';
import { ConfigError } from '../errors.js';
import { collapse } from '../eval/collapse.js';
import { type Correlation, correlation } from '../eval/correlation.js';
import type { Method, Objective, Recipe, Summary } from '../methods/method.js';
import type { Network } from '../methods/network.js';
import { adamw } from '../optim/adamw.js';
import { lars } from '../optim/lars.js';
import type { Optimizer } from '../optim/optimizer.js';
import { learningRate } from '../optim/schedule.js';
import { sgd } from '../optim/sgd.js';
import type { Parameters } from '../parameters.js';
import type { Device } from '../runtime/device.js';
import type { Plan } from '../runtime/plan.js';
import { type Range, Readback } from '../runtime/readback.js';
import { numel, type Tensor } from '../tensor.js';
import { AugmentedViews } from './views.js';

/** A stretch of a run: how its steps are computed, and which they are. */
export interface Stretch {
  /** Set before its choices of kernels, to tell them from those of others; '' for what a run is about. */
  readonly name: string;
  readonly recipe: Recipe;
  readonly schedule: Schedule;
  /** The run's step, counted from 0, that is its first. */
  readonly first: number;
}

/** What a run consists of: what the method does, and before it what it lets come first. */
export function stretchesOf(method: Method, config: TrainConfig, images: number, schedule: Schedule): Stretch[] {
  const { before } = method;
  if (!before) return [{ name: '', recipe: method, schedule, first: 0 }];
  const own = scheduleOf({ ...config, epochs: before.epochs, steps: null, warmup: null }, images);
  if (own.steps + schedule.steps > mostSteps)
    throw new ConfigError(
      `distilEpochs (--distil-epochs): expected at most ${mostSteps} steps in all, got ${own.steps} of distillation and ` +
        `${schedule.steps} that follow. Give fewer.`,
    );
  return [
    { name: `${before.name} `, recipe: before, schedule: own, first: 0 },
    { name: '', recipe: method, schedule, first: own.steps },
  ];
}

/** A step of a stretch, recorded: one plan from pictures to updated weights, and what it leaves to be read. */
export class Stage {
  readonly stretch: Stretch;
  readonly plan: Plan;
  readonly #device: Device;
  readonly #config: TrainConfig;
  readonly #objective: Objective;
  readonly #optimizer: Optimizer;
  #figures: Readback | undefined;
  #watched: Readback | undefined;

  /** Records a step; `compile()` makes it ready to run. */
  constructor(
    { plan, stretch, config }: { plan: Plan; stretch: Stretch; config: TrainConfig },
    network: Network,
    pictures: Pictures,
  ) {
    this.#device = plan.device;
    this.#config = config;
    this.stretch = stretch;
    this.plan = plan;
    plan.firstStep = stretch.first;
    const { parameters } = network;
    plan.clear({ storage: parameters.grads, offset: 0, bytes: parameters.size * 4 });
    this.#objective = stretch.recipe.record(plan, network, new AugmentedViews(plan, pictures, config));
    this.#optimizer = plan.phase('optimizer', () => optimizerOf(plan, parameters, config));
    plan.phase('update', () => this.#objective.update?.());
  }

  /** What the optimizer carries from step to step, laid out like the weights. */
  get moments(): Optimizer['moments'] {
    return this.#optimizer.moments;
  }

  /** The kernel variants in use, by the key of the choice. */
  get choices(): Record<string, string> {
    const { name } = this.stretch;
    return Object.fromEntries(this.plan.choices.map(({ id, chosen }) => [`${name}${id}`, chosen.name]));
  }

  async compile(onCompile?: (done: number, total: number) => void): Promise<void> {
    await this.plan.compile(onCompile);
    const ranges = (tensors: Readonly<Record<string, Tensor>>): Record<string, Range> =>
      Object.fromEntries(
        Object.entries(tensors).map(([name, x]) => [name, { ...this.plan.resolve(x), bytes: numel(x.shape) * 4 }]),
      );
    this.#figures = new Readback(this.#device, 'figures', ranges(this.#objective.figures));
    this.#watched = new Readback(this.#device, 'watched', ranges(this.#objective.watched));
  }

  /** Submits the run's step, counted from 0. Its rate is known at once, its log when the GPU is done. */
  run(step: number): { lr: number; log: Promise<Summary> } {
    const { seed } = this.#config;
    const { recipe, schedule, first } = this.stretch;
    const own = step - first;
    const lr = learningRate(own, schedule);
    const ema = recipe.momentum?.(own, schedule.steps) ?? 1;
    this.plan.run({ step, seed, lr, ema });
    const figures = (this.#figures as Readback).snapshot();
    return { lr, log: figures.then((values) => this.#objective.summarize(values)) };
  }

  /** Mean standard deviation and effective rank of what is watched, `std.zA` and so on. */
  async measureCollapse(): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    const batches = await (this.#watched as Readback).snapshot();
    for (const [name, { shape }] of Object.entries(this.#objective.watched)) {
      if (!batches[name].every(Number.isFinite)) continue; // the loss tells
      const { meanStd, effectiveRank } = collapse(batches[name], shape[1]);
      found[`std.${name}`] = meanStd;
      found[`effectiveRank.${name}`] = effectiveRank;
    }
    return found;
  }

  /** C of zA and zB of the last step, its first 256 rows and columns at most. */
  async correlation(): Promise<Correlation> {
    const { zA, zB } = await (this.#watched as Readback).snapshot();
    return correlation(zA, zB, this.#objective.watched.zA.shape[1], 256);
  }

  dispose(): void {
    this.#figures?.dispose();
    this.#watched?.dispose();
    this.#optimizer.dispose();
    this.plan.dispose();
  }
}

function optimizerOf(plan: Plan, parameters: Parameters, config: TrainConfig): Optimizer {
  const { momentum, weightDecay, nesterov, decayAll, trust, clip, beta1, beta2, eps } = config;
  if (config.optimizer === 'lars') return lars(plan, parameters, { momentum, weightDecay, trust, clip });
  if (config.optimizer === 'adamw') return adamw(plan, parameters, { beta1, beta2, eps, weightDecay });
  return sgd(plan, parameters, { momentum, weightDecay, nesterov, decayAll });
}
