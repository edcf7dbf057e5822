// FLOPs and memory of a run, from its recorded step.
import { type Ledger, ledgerOf } from '../runtime/ledger.js';
import { heldBytes } from '../runtime/memory.js';
import type { Plan } from '../runtime/plan.js';
import type { Settled } from './options.js';
import type { Schedule } from './schedule.js';

/** The cost of a run. */
export interface RunCost {
  readonly step: Ledger;
  /** Images in a step. */
  readonly batch: number;
  readonly steps: number;
  /** FLOPs of all steps. */
  readonly flops: number;
  /** Bytes in GPU memory, without the data set and a teacher. */
  readonly memory: {
    /** Weights, gradients, running statistics, and the state of optimizer and method. */
    readonly lasting: number;
    /** Views, activations and everything else that a step allocates. */
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
