// Converts settings to the arguments of a trainer: method, encoders, options.
import { barlowTwins } from '../methods/barlow_twins.js';
import { byol } from '../methods/byol.js';
import { disco } from '../methods/disco.js';
import type { Method } from '../methods/method.js';
import { mocoV2 } from '../methods/moco_v2.js';
import { oss } from '../methods/oss.js';
import { rekd } from '../methods/rekd.js';
import { sacl } from '../methods/sacl.js';
import { saclXd } from '../methods/sacl_xd.js';
import { seed } from '../methods/seed.js';
import type { MethodSetting } from '../methods/settings.js';
import { sslSmall } from '../methods/ssl_small.js';
import type { Teacher } from '../methods/teacher.js';
import { xd } from '../methods/xd.js';
import { type Augmentation, cleanView, defaultViews } from '../ops/augment.js';
import { adamw } from '../optim/adamw.js';
import { lars } from '../optim/lars.js';
import { sgd } from '../optim/sgd.js';
import type { TrainerOptions } from '../train/options.js';
import { backbone } from './encoders.js';
import { type MethodName, methodNames, methods } from './methods.js';
import { unknown } from './names.js';
import type { TrainConfig } from './settings.js';

/** The functions of the methods, taking one encoder or a small and a wide one, and the numbers that their specs name. */
const makers = {
  sacl_xd: saclXd,
  sacl,
  xd,
  barlow_twins: barlowTwins,
  moco_v2: mocoV2,
  byol,
  ssl_small: sslSmall,
  seed,
  disco,
  rekd,
  oss,
} satisfies Record<MethodName, unknown>;

/**
 * The method of a configuration, with its encoder.
 *
 * @param teacher the teacher, if the method has one; required to record a step
 * @throws ConfigError if method or encoder are unknown
 */
export function methodOf(config: TrainConfig, teacher?: Teacher): Method {
  const { method: name, bn, slice } = config;
  if (!Object.hasOwn(makers, name)) throw unknown('method', name, methodNames);
  const { networks, defaults, choices = {}, teacher: learns } = methods[name];
  const encoders = [
    ...(networks === 'sliced' ? [] : [{ ...config, ratio: 1 }]),
    ...(networks === 'one' ? [] : [config]),
  ];
  // all that the method's spec names, lambda and alpha among them, under the same names
  const settings = {
    ...Object.fromEntries(Object.keys({ ...defaults, ...choices }).map((key) => [key, config[key as MethodSetting]])),
    ...(networks === 'sliced' && { bn, slice }),
    ...(learns && teacher && { teacher }),
  };
  return (makers[name] as (...given: unknown[]) => Method)(...encoders.map(backbone), settings);
}

/** The options of a `Trainer` that a configuration has, except `tune`, which is a switch there. */
export function trainerOptionsOf(config: TrainConfig): TrainerOptions {
  const { batch, epochs, steps, warmup, lr, imageSize, precision, recompute, seed: seeded } = config;
  const { slice, sliceEvery, sliceWarmup } = config;
  return {
    batch,
    ...(steps !== null ? { steps } : epochs !== null && { epochs }),
    ...(warmup !== null && { warmup }),
    optimizer: optimizerOf(config),
    lr,
    imageSize,
    views: viewsOf(config),
    precision,
    recompute,
    seed: seeded,
    ...(slice === 'l1' && { sliceEvery, ...(sliceWarmup !== null && { sliceWarmup }) }),
  };
}

function optimizerOf(config: TrainConfig): NonNullable<TrainerOptions['optimizer']> {
  const { momentum, weightDecay, nesterov, decayAll, trust, clip, beta1, beta2, eps } = config;
  const all: Record<TrainConfig['optimizer'], NonNullable<TrainerOptions['optimizer']>> = {
    lars: (plan, parameters) => lars(plan, parameters, { momentum, weightDecay, trust, clip }),
    sgd: (plan, parameters) => sgd(plan, parameters, { momentum, weightDecay, nesterov, decayAll }),
    adamw: (plan, parameters) => adamw(plan, parameters, { beta1, beta2, eps, weightDecay }),
  };
  return all[config.optimizer];
}

/** The augmentations of views A and B in a configuration. */
export function viewsOf(config: TrainConfig): [Augmentation, Augmentation] {
  const [a, b] = defaultViews(config.imageSize);
  const shared = {
    crop: { scale: [config.cropMin, config.cropMax], ratio: a.crop.ratio },
    // left out where there is none: a run's checkpoint names all that is there
    ...(config.rotateP > 0 && { rotate: { p: config.rotateP, degrees: config.rotate } }),
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
    config.views === 'clean-edited'
      ? cleanView(config.imageSize)
      : { ...a, ...shared, blur: { ...a.blur, p: config.blurA }, solarize: config.solarizeA },
    { ...b, ...shared, blur: { ...b.blur, p: config.blurB }, solarize: config.solarizeB },
  ];
}
