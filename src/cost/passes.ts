import type { MethodName } from '../config/kinds.js';

/** A network that a method sends images through; `teacher` is another architecture. */
export type Role = 'host' | 'slim' | 'teacher';

/** How often an image goes through a network in a step: with a backward, and without. */
export interface Passes {
  readonly trained: number;
  readonly frozen: number;
}

const passes = (trained: number, frozen = 0): Passes => ({ trained, frozen });

/**
 * The passes of each method. A method of one encoder trains it at the width of the slim one.
 *
 * Frozen are: what cross distillation compares with (SACL+XD), keys and targets by averaged weights (MoCo-V2, BYOL and
 * those built on them), and a teacher that is not trained along (SEED, DisCo).
 */
export const methodPasses = {
  sacl_xd: { host: passes(1, 1), slim: passes(1, 1) },
  sacl: { host: passes(1), slim: passes(1) },
  xd: { slim: passes(2) },
  barlow_twins: { slim: passes(2) },
  moco_v2: { slim: passes(1, 1) },
  byol: { slim: passes(2, 2) },
  ssl_small: { slim: passes(1, 1) },
  seed: { slim: passes(1), teacher: passes(0, 1) },
  disco: { slim: passes(2, 1), teacher: passes(0, 2) },
  rekd: { slim: passes(1), teacher: passes(1, 1) },
  oss: { slim: passes(2), teacher: passes(2) },
} as const satisfies Record<MethodName, { readonly [R in Role]?: Passes }>;

/** The cost of a pass in forwards: one, and where it is trained two more, for the gradients of inputs and of weights. */
export function forwards({ trained, frozen }: Passes): number {
  return 3 * trained + frozen;
}
