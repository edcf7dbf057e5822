import type { Views } from '../methods/method.js';
import { type Augmentation, augment, type ImageBatch } from '../ops/augment.js';
import type { Plan } from '../runtime/plan.js';
import type { Precision, Tensor } from '../tensor/tensor.js';

/** Both views of a batch, each recorded into the plan on first use: a method that uses one view records one. */
export function augmentedViews(
  plan: Plan,
  images: ImageBatch,
  { views, precision }: { readonly views: readonly [Augmentation, Augmentation]; readonly precision: Precision },
): Views {
  const made: [Tensor?, Tensor?] = [];
  const view = (i: 0 | 1) => () => {
    made[i] ??= augment(plan, images, i, views[i], precision);
    return made[i];
  };
  return { a: view(0), b: view(1) };
}
