import type { TrainConfig } from '../config.js';
import { type Augmentation, augment, defaultViews, type Pictures } from '../data/augment.js';
import type { Views } from '../methods/method.js';
import type { Plan } from '../runtime/plan.js';
import type { Tensor } from '../tensor.js';

/** Both views of a batch, each recorded into the plan when it is first asked for: a method that looks at one makes one. */
export class AugmentedViews implements Views {
  readonly #make: (view: 0 | 1) => Tensor;
  readonly #made: [Tensor?, Tensor?] = [];

  constructor(plan: Plan, pictures: Pictures, config: TrainConfig) {
    const views = viewsOf(config);
    this.#make = (view) => augment(plan, pictures, view, views[view], config.precision);
  }

  get a(): Tensor {
    return this.#view(0);
  }

  get b(): Tensor {
    return this.#view(1);
  }

  #view(view: 0 | 1): Tensor {
    this.#made[view] ??= this.#make(view);
    return this.#made[view];
  }
}

/** The random transformations of views A and B that a configuration asks for. */
export function viewsOf(config: TrainConfig): [Augmentation, Augmentation] {
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
