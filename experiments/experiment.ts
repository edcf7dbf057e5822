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

/** One run to measure, or a control beside the runs. */
export interface Experiment {
  readonly subject: 'trained' | 'untrained' | 'raw pixels';
  readonly config: TrainConfig;
  /** What is trained first, for the run to learn from; `config.teacher` is its file. */
  readonly teacher?: Experiment;
  /** FLOPs of its steps, those of a teacher's training not among them. */
  readonly flops: number;
}

/** An experiment that cannot be made, and why. */
export interface Refused {
  readonly error: string;
}

export function isRefused(planned: Experiment | Refused): planned is Refused {
  return 'error' in planned;
}

/** How long a run is: its steps, those of distillation among them, or its FLOPs, those of its teacher's training aside. */
export type Budget = { readonly steps: number } | { readonly flops: number };

/**
 * A run of that budget.
 *
 * @param items training images
 */
export function experimentOf(settings: Settings, budget: Budget, items: number, teacher?: Experiment): Experiment {
  const { before, step } = costOf(parseConfig({ ...settings, steps: 1 }), items, teacher);
  const left = 'steps' in budget ? budget.steps - before.steps : (budget.flops - before.flops) / step;
  const steps = Math.max(1, Math.round(left));
  const flops = before.flops + steps * step;
  return { subject: 'trained', config: parseConfig({ ...settings, steps }), flops, ...(teacher && { teacher }) };
}

/** FLOPs of a step, and what comes before the first. */
interface StepCost {
  readonly step: number;
  readonly before: { readonly steps: number; readonly flops: number };
}

const costs = new Map<string, StepCost>();

/** Recorded once for all runs whose steps compute the same. */
function costOf(config: TrainConfig, items: number, teacher?: Experiment): StepCost {
  const alike = {
    ...identity(config),
    seed: 0,
    lr: 0,
    teacher: teacher && { ...identity(teacher.config), seed: 0 },
  };
  const key = JSON.stringify([alike, items]);
  const known = costs.get(key);
  if (known) return known;
  const { stretches, steps, flops } = runCost(config, items, teacher && shapesOf(teacher.config));
  const { step } = stretches[stretches.length - 1];
  const cost = { step: step.flops, before: { steps: steps - 1, flops: flops - step.flops } };
  costs.set(key, cost);
  return cost;
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
