// What a run computes and holds, from its step as it is recorded.
import { type Ledger, ledgerOf } from '../runtime/ledger.js';
import { heldBytes } from '../runtime/memory.js';
import type { Plan } from '../runtime/plan.js';
import type { Settled } from './options.js';
import type { Schedule } from './schedule.js';

/** What a run takes. */
export interface RunCost {
  readonly step: Ledger;
  /** Images in a step. */
  readonly batch: number;
  readonly steps: number;
  /** FLOPs of all steps. */
  readonly flops: number;
  /** Bytes in GPU memory, those of the data set and of a teacher aside. */
  readonly memory: {
    /** Weights, gradients, running statistics, and what the optimizer and the method carry. */
    readonly lasting: number;
    /** Views, activations, and all else that a step makes. */
    readonly transient: number;
  };
}

/** The cost of a run from the plan of its step. */
export function runCostOf(
  plan: Plan,
  { steps }: Pick<Schedule, 'steps'>,
  { batch }: Pick<Settled, 'batch'>,
  lasting: number,
): RunCost {
  const step = ledgerOf(plan.dispatches);
  return { step, batch, steps, flops: steps * step.flops, memory: { lasting, transient: heldBytes(plan.lifetimes) } };
}
