// The table of all settings of a run, and the parsing of a configuration.

import { show } from '../checks/show.js';
import { ConfigError } from '../errors.js';
import { isSmall } from '../ops/augment.js';
import { adamwDefaults, larsDefaults, sgdDefaults } from '../optim/defaults.js';
import { ranges, trainerDefaults } from '../train/options.js';
import { dataSettings } from './data.js';
import { backbone, encoderNames } from './encoders.js';
import { completeSetting, type Flag, flagOf, flagsOf, type Settings } from './flags.js';
import { bringUpToDate } from './former.js';
import {
  blockList,
  choice,
  integer,
  number,
  optimizers,
  probability,
  required,
  type Setting,
  type Settled,
  text,
  toggle,
  viewPairs,
} from './kinds.js';
import { checkMethod, methodSettings } from './method.js';
import { unknown } from './names.js';
import { presets } from './presets.js';
import { slicingSettings } from './slicing.js';

const rates: Record<(typeof optimizers)[number], number> = { lars: trainerDefaults.lr, sgd: 0.005, adamw: 0.002 };

const forSgd = { only: { key: 'optimizer', values: ['sgd'] } } as const;
const forLars = { only: { key: 'optimizer', values: ['lars'] } } as const;
const forBoth = { only: { key: 'views', values: ['both'] } } as const;
const forAdamw = { only: { key: 'optimizer', values: ['adamw'] } } as const;
const forMomentum = { only: { key: 'optimizer', values: ['sgd', 'lars'] } } as const;

/** A strength of jitter: stronger for SSL-Small. */
const strength = (what: string, [standard, strong]: readonly [number, number], max: number) =>
  number(`strength of the jitter of ${what}`, (above) => (above.method === 'ssl_small' ? strong : standard), {
    min: 0,
    max,
    shown: `${strong} for ssl_small, else ${standard}`,
  });

/**
 * Every setting of a run, in the order of help texts and config.json; flags are the keys in kebab-case. Flags, JSON
 * keys, help, defaults and checks all come from here. Defaults are the small-image recipe of the paper (DESIGN.md)
 * unless noted otherwise; a computed default depends on the rows above it.
 */
const groups = {
  Data: {
    data: text(
      'what to train on: a folder of images (sub-folder = label), or a named set',
      required,
      'DIR|emoji|fashion-mnist|cifar10:DIR|cifar100:DIR|idx:DIR',
      { remedy: 'Give a folder, emoji, fashion-mnist, cifar10:DIR, cifar100:DIR or idx:DIR.' },
    ),
    imageSize: integer(
      'side of the squares that the encoders see, in pixels',
      trainerDefaults.imageSize,
      ranges.imageSize,
    ),
    protocol: choice(
      'views: two drawings of one emoji, or one image augmented twice',
      (above) => (above.data === 'emoji' ? 'paired' : 'augmented'),
      ['paired', 'augmented'],
      { shown: 'paired for emoji, else augmented' },
    ),
    ...dataSettings,
  },
  Encoder: {
    encoder: choice('architecture of host and slim encoder', 'mobilenet_v1', encoderNames),
    width: number('width multiplier of the slim encoder (the 1x network)', 1, { min: 1 / 32, max: 16 }),
    stemStride: integer('stride of the first convolution', (above) => (isSmall(above.imageSize as number) ? 1 : 2), {
      min: 1,
      max: 2,
      shown: '1 up to 64 px, else 2',
    }),
    blocks: blockList('blocks after the first convolution, for small experiments', {
      shown: "the encoder's own 13",
      only: { key: 'encoder', values: ['mobilenet_v1'] },
    }),
  },
  Method: methodSettings,
  Slicing: slicingSettings,
  Optimizer: {
    optimizer: choice('update rule', 'lars', optimizers),
    lr: number(
      'peak learning rate for a batch of 256; scaled by batch / 256',
      (above) => rates[above.optimizer as keyof typeof rates],
      { ...ranges.lr, shown: '0.3 lars, 0.005 sgd, 0.002 adamw' },
    ),
    weightDecay: number('weight decay', larsDefaults.weightDecay, { min: 0 }),
    decayAll: toggle('decay biases and batchnorm too', (above) => above.optimizer === 'sgd' && sgdDefaults.decayAll, {
      ...forSgd,
      shown: 'true for sgd, else false',
      remedy: 'LARS and AdamW decay weights of two or more dimensions only.',
    }),
    momentum: number('momentum', larsDefaults.momentum, { min: 0, below: 1, ...forMomentum }),
    nesterov: toggle('Nesterov momentum', sgdDefaults.nesterov, forSgd),
    trust: number('trust coefficient of LARS', larsDefaults.trust, { above: 0, ...forLars }),
    clip: toggle("keep LARS steps within the plain step's length", larsDefaults.clip, forLars),
    beta1: number('decay of the first moment', adamwDefaults.beta1, { min: 0, below: 1, ...forAdamw }),
    beta2: number('decay of the second moment', adamwDefaults.beta2, { min: 0, below: 1, ...forAdamw }),
    eps: number("added to AdamW's denominator", adamwDefaults.eps, { above: 0, ...forAdamw }),
  },
  Schedule: {
    epochs: integer<number | null>('passes over the data (or give --steps)', null, {
      ...ranges.epochs,
      shown: `${trainerDefaults.epochs}`,
    }),
    steps: integer<number | null>('optimizer steps (or give --epochs)', null, {
      ...ranges.steps,
      shown: 'from the epochs',
    }),
    warmup: integer<number | null>('steps of linear warm-up', null, {
      ...ranges.warmup,
      shown: '10 epochs, at most 10 % of the steps',
    }),
    batch: integer('images in a step; a last partial batch is dropped', trainerDefaults.batch, {
      ...ranges.batch,
      remedy: 'Batchnorm and the correlation need two images at least to have a variance.',
    }),
    precision: choice("storage of the encoders' activations; everything else is f32", 'f32', ['f32', 'f16']),
    seed: integer('of initial weights, order of the data and augmentations', trainerDefaults.seed, ranges.seed),
  },
  Augmentation: {
    views: choice('random edits in both views, or in B alone, with A only resized', 'both', viewPairs),
    cropMin: number('least share of the area that a crop keeps', 0.08, { above: 0, max: 1 }),
    cropMax: number('largest share of the area that a crop keeps', 1, { above: 0, max: 1 }),
    rotate: number('largest angle that a crop is rotated by, in degrees', 0, { min: 0, max: 180 }),
    rotateP: probability('rotation', (above) => (above.rotate === 0 ? 0 : 0.8), { shown: '0.8 with --rotate, else 0' }),
    flip: probability('horizontal flip', 0.5),
    jitter: probability('color jitter', 0.8),
    brightness: strength('brightness', [0.4, 0.8], 1),
    contrast: strength('contrast', [0.4, 0.8], 1),
    saturation: strength('saturation', [0.2, 0.8], 1),
    hue: strength('hue, in turns', [0.1, 0.2], 0.5),
    gray: probability('grayscale', 0.2),
    blurA: probability('Gaussian blur in view A', (above) => (isSmall(above.imageSize as number) ? 0 : 1), {
      shown: '0 up to 64 px, else 1',
      ...forBoth,
    }),
    blurB: probability('Gaussian blur in view B', (above) => (isSmall(above.imageSize as number) ? 0 : 0.1), {
      shown: '0 up to 64 px, else 0.1',
    }),
    solarizeA: probability('solarisation in view A', 0, forBoth),
    solarizeB: probability('solarisation in view B', 0.2),
  },
  Run: {
    checkpointEvery: integer('steps between checkpoints', 200, { min: 1 }),
    evalEvery: integer('steps between scores on held-out images; 0 for none', 0, { min: 0 }),
    out: text('run folder', (above) => `runs/${shortName(above.data as string)}-${above.method}-${above.seed}`, 'DIR', {
      shown: 'runs/DATA-METHOD-SEED',
    }),
    recompute: toggle('make batchnorm outputs again in the backward: less memory, more time', false),
    tune: toggle('first try which kernel variants are fastest on this adapter', false),
    tensorboard: toggle('write the metrics as TensorBoard event files too', false),
    resume: toggle('continue the run in --out; an empty folder starts afresh', false),
    acceptData: toggle('with --resume: go on though the data have changed', false),
  },
};

const table = {
  ...groups.Data,
  ...groups.Encoder,
  ...groups.Method,
  ...groups.Slicing,
  ...groups.Optimizer,
  ...groups.Schedule,
  ...groups.Augmentation,
  ...groups.Run,
};

type Table = typeof table;
type Mutable = { -readonly [K in keyof Table]: Table[K] extends Setting<infer T> ? T : never };

/** A run's settings, complete and checked. Survives a round trip through JSON. */
export type TrainConfig = Readonly<Mutable>;
/** Name of a setting, as JSON configuration files spell it. */
export type SettingKey = keyof TrainConfig;

/** Names of all settings, in the order of the table. */
export const settingKeys = Object.keys(table) as SettingKey[];

const rows = table as unknown as Record<string, Setting<unknown>>;

/** Settings that are used in `config`, without those that are null. */
export function usedKeys(config: TrainConfig): SettingKey[] {
  const isUsed = ({ only }: Setting<unknown>) => !only || (only.values as readonly string[]).includes(config[only.key]);
  return settingKeys.filter(
    (key) => key !== 'resume' && key !== 'acceptData' && config[key] !== null && isUsed(rows[key]),
  );
}

/** Last part of a folder's name, or the name of a set without its folder. */
export function shortName(data: string): string {
  const [, kind] = /^([\w-]{2,}):/.exec(data) ?? [];
  return kind ?? data.split(/[/\\]+/).findLast((part) => /[^.]/.test(part)) ?? 'data';
}

/**
 * Checks `raw` (an object with the keys of `TrainConfig`; missing or null ones take defaults) and completes it.
 *
 * @throws ConfigError naming the key, the expected and the actual value, and the remedy
 */
export function parseConfig(raw: unknown): TrainConfig {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
    throw new ConfigError(`configuration: expected an object of settings such as {"data": "emoji"}, got ${show(raw)}`);
  }
  const given = bringUpToDate(raw as Record<string, unknown>);
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(table, key)) throw unknown('setting', key, settingKeys);
  }
  const config: Record<string, unknown> = {};
  for (const key of settingKeys) config[key] = completed(key, given[key], config);
  const complete = config as Mutable;
  crossCheck(complete);
  return Object.freeze(complete);
}

/**
 * Settings with changes applied. If `base` has every setting, as a run writes them, those that equal their computed defaults
 * are recomputed; a run's length is given by epochs or steps, whichever `changes` has.
 *
 * @throws ConfigError if `base` has every setting, but not a valid value for each
 */
export function changeSettings(base: object, changes: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const own = { ...base } as Record<string, unknown>;
  // settings newer than the run take their defaults
  const follows = (key: string) => typeof rows[key].default === 'function' && !isOfPlace(key);
  const isComplete = settingKeys.every((key) => Object.hasOwn(own, key) || !follows(key));
  if (isComplete && Object.keys(changes).some((key) => !isOfPlace(key))) {
    const settled = parseConfig(own) as Readonly<Record<string, unknown>>;
    for (const key of settingKeys)
      if (rows[key].default !== required && same(completed(key, undefined, settled), settled[key])) delete own[key];
  }
  if (changes.steps !== undefined) delete own.epochs;
  if (changes.epochs !== undefined) delete own.steps;
  return { ...own, ...changes };
}

/** Whether a setting only locates or starts a run: omitted from what a run writes, so that its folder can be moved. */
export const isOfPlace = (key: string) => key === 'out' || key === 'resume' || key === 'acceptData';

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

const completed = (key: string, given: unknown, above: Settled) => completeSetting(named(key), rows[key], given, above);

function crossCheck(config: Mutable): void {
  const { data, epochs, steps, warmup } = config;
  const refuse = (key: string, message: string): never => {
    throw new ConfigError(`${named(key)}: ${message}`);
  };
  for (const key of settingKeys) {
    const { only, default: standard, remedy } = rows[key];
    if (!only || (only.values as readonly string[]).includes(config[only.key])) continue;
    if (config[key] === (typeof standard === 'function' ? standard(config) : standard)) continue;
    const meaning = `only valid with ${named(only.key)} ${only.values.join(' or ')}`;
    const advice = remedy ?? `Leave it out, or choose ${only.values[0]}.`;
    refuse(key, `${meaning}, got ${show(config[key])} with ${config[only.key]}. ${advice}`);
  }
  if (config.protocol === 'paired' && data !== 'emoji') {
    const why = `'paired' needs two drawings of each thing, which only the emoji have`;
    refuse('protocol', `${why}; got data ${show(data)}. Use 'augmented'.`);
  }
  checkMethod(config, refuse);
  if (epochs !== null && steps !== null) {
    refuse('epochs', `expected epochs or steps, got ${epochs} epochs and ${steps} steps. Leave one out.`);
  }
  if (epochs === null && steps === null) config.epochs = trainerDefaults.epochs;
  if (steps !== null && warmup !== null && warmup > steps) {
    refuse('warmup', `expected at most the run's ${steps} steps, got ${warmup}`);
  }
  if (config.rotate === 0 && config.rotateP > 0) {
    refuse('rotateP', `only valid with --rotate above 0, got ${config.rotateP}. Give the largest angle by --rotate.`);
  }
  if (config.cropMin > config.cropMax) {
    refuse('cropMin', `expected at most cropMax, ${config.cropMax}, got ${config.cropMin}`);
  }
  const total = backbone(config).stride;
  if (config.imageSize < total) {
    const why = `expected at least the encoder's total stride, ${total}, got ${config.imageSize}`;
    refuse('imageSize', `${why}. Give larger images, or fewer strides by --stem-stride and --blocks.`);
  }
}

/**
 * A preset with changes applied; settings that these make unused are dropped.
 *
 * @param name or several, separated by commas, of which a later one wins
 * @throws ConfigError if a name is unknown
 */
export function withPreset(name: string, changes: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const known: Record<string, { readonly [K in SettingKey]?: unknown }> = presets;
  const preset: Record<string, unknown> = {};
  for (const each of name.split(',')) {
    if (!Object.hasOwn(known, each)) throw unknown('preset', each, Object.keys(known));
    Object.assign(preset, known[each]);
  }
  const standard = { encoder: 'mobilenet_v1', method: 'sacl_xd', views: 'both' };
  const all: Readonly<Record<string, unknown>> = { ...standard, ...preset, ...changes };
  const isApt = (key: string) => {
    if (key === 'lr') return all.optimizer === preset.optimizer;
    const { only } = rows[key];
    return !only || (only.values as readonly unknown[]).includes(all[only.key]);
  };
  return { ...Object.fromEntries(Object.entries(preset).filter(([key]) => isApt(key))), ...changes };
}

/** The settings as flags, in the order of the table. */
export function settingFlags(): Flag[] {
  return Object.entries(groups).flatMap(([group, settings]) => flagsOf(settings as unknown as Settings, group));
}

function named(key: string): string {
  return `${key} (${flagOf(key)})`;
}

export { flagOf };
