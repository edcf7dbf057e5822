import type { Views } from '../methods/method.js';
import { type Augmentation, augment, type ImageBatch } from '../ops/augment.js';
import type { Plan } from '../runtime/plan.js';
import type { Precision, Tensor } from '../tensor/tensor.js';

/** Both views of a batch, each recorded into the plan when it is first asked for: a method that looks at one makes one. */
export class AugmentedViews implements Views {
  readonly #make: (view: 0 | 1) => Tensor;
  readonly #made: [Tensor?, Tensor?] = [];

  constructor(
    plan: Plan,
    images: ImageBatch,
    { views, precision }: { readonly views: readonly [Augmentation, Augmentation]; readonly precision: Precision },
  ) {
    this.#make = (view) => augment(plan, images, view, views[view], precision);
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
