import type { Recorded } from './commands.js';
import { heldBytes } from './memory.js';
import { PipelineCache } from './pipelines.js';

/** The commands and memory of a plan. */
export interface PlanStats {
  readonly dispatches: number;
  readonly pipelines: number;
  /** Multiply-adds of convolutions and products of matrices. */
  readonly macs: number;
  readonly slots: number;
  /** The peak of live slots: a lower bound of their memory. */
  readonly peakBytes: number;
  /** The memory of slots. */
  readonly heldBytes: number;
  /** Bytes of the largest binding. */
  readonly largestBinding: number;
}

/** Counts and bytes of a plan, once recording is complete. */
export function statsOf(plan: Recorded): PlanStats {
  const { dispatches, lifetimes } = plan;
  let peakBytes = 0;
  for (let at = 0; at < plan.position; at++) {
    let bytes = 0;
    for (const slot of lifetimes) if (slot.first <= at && at <= slot.last) bytes += slot.bytes;
    peakBytes = Math.max(peakBytes, bytes);
  }
  const bound = dispatches.flatMap(({ bindings }) => [...bindings.values()]);
  return {
    dispatches: dispatches.length,
    pipelines: new Set(dispatches.map((each) => PipelineCache.key(each.kernel, each.entry, each))).size,
    macs: dispatches.reduce((sum, { macs }) => sum + macs, 0),
    slots: lifetimes.length,
    peakBytes,
    heldBytes: heldBytes(lifetimes),
    largestBinding: bound.reduce((most, { bytes }) => Math.max(most, bytes), 0),
  };
}
