import { freeKeys } from '../src/config/free.js';
import { usedKeys } from '../src/config/settings.js';
import {
  backbone,
  ConfigError,
  metaDevice,
  Parameters,
  parseConfig,
  runCost,
  SlimgradError,
  type Teacher,
  type TrainConfig,
} from '../src/index.js';
import type { Settings } from './settings.js';

/** One run to measure, or a control. */
export interface Experiment {
  readonly subject: 'trained' | 'untrained' | 'raw pixels';
  readonly config: TrainConfig;
  /** What is trained first, for the run to learn from; `config.teacher` is its file. */
  readonly teacher?: Experiment;
  /** What is trained first, for the run to start from; `config.init` is its file. */
  readonly start?: Experiment;
  /** FLOPs of its steps and of those of what it starts from, those of a teacher's training not among them. */
  readonly flops: number;
}

/** An experiment that cannot be made, and why. */
export interface Refused {
  readonly error: string;
}

export function isRefused(planned: Experiment | Refused): planned is Refused {
  return 'error' in planned;
}

/** How long a run is: its steps or its FLOPs, with those of what it starts from, without those of its teacher's training. */
export type Budget = { readonly steps: number } | { readonly flops: number };

/**
 * A run of that budget.
 *
 * @param items training images
 */
export function experimentOf(
  settings: Settings,
  budget: Budget,
  items: number,
  { teacher, start }: Pick<Experiment, 'teacher' | 'start'> = {},
): Experiment {
  const step = flopsOf(parseConfig({ ...settings, steps: 1 }), items, teacher);
  const before = { steps: start?.config.steps ?? 0, flops: start?.flops ?? 0 };
  const left = 'steps' in budget ? budget.steps - before.steps : (budget.flops - before.flops) / step;
  const steps = Math.max(1, Math.round(left));
  return {
    subject: 'trained',
    config: parseConfig({ ...settings, steps }),
    flops: before.flops + steps * step,
    ...(teacher && { teacher }),
    ...(start && { start }),
  };
}

/** What is spent on a run's teacher, or on that of what it starts from. */
export function teacherOf({ teacher, start }: Experiment): Experiment | undefined {
  return teacher ?? (start && teacherOf(start));
}

const costs = new Map<string, number>();

/** FLOPs of a step, recorded once for all runs whose steps compute the same. */
function flopsOf(config: TrainConfig, items: number, teacher?: Experiment): number {
  const alike = {
    ...identity(config),
    seed: 0,
    lr: 0,
    init: null,
    teacher: teacher && { ...identity(teacher.config), seed: 0 },
  };
  const key = JSON.stringify([alike, items]);
  const known = costs.get(key);
  if (known) return known;
  const { step } = runCost(config, items, teacher && shapesOf(teacher.config));
  costs.set(key, step.flops);
  return step.flops;
}

/** The experiment, or why the library refuses it. */
export function attempt(make: () => Experiment): Experiment | Refused {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof SlimgradError)) throw error;
    return { error: error.message };
  }
}

/** A trained encoder, as far as costs can tell: its shapes. */
function shapesOf(config: TrainConfig): Teacher {
  const encoder = backbone({ ...config, ratio: 1 });
  const parameters = new Parameters(metaDevice(), encoder.parameters, encoder.statistics, { bn: 'shared' });
  return { backbone: encoder, parameters };
}

/** What a configuration's results depend on, those that mean nothing in it left out. */
export function identity(config: TrainConfig): Settings {
  const keys = usedKeys(config).filter((key) => !freeKeys.includes(key));
  return Object.fromEntries(keys.map((key) => [key, config[key]]));
}

/** Equal for experiments that must give equal results. */
export function keyOf({ subject, config }: Pick<Experiment, 'subject' | 'config'>): string {
  return JSON.stringify([subject, identity(config)]);
}

/** The key of what was measured earlier: settings that are new since then take their defaults. None if they no longer parse. */
export function keyOfEarlier(subject: Experiment['subject'], settings: Settings): string | undefined {
  try {
    return keyOf({ subject, config: parseConfig(settings) });
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}
