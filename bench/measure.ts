import type { ProfileEntry } from '../src/runtime/commands.js';
import type { Plan } from '../src/runtime/plan.js';
import { profile } from '../src/runtime/profile.js';
import type { StepScalars } from '../src/runtime/step_scalars.js';

/** Of a step that moves no weights. */
export const still: StepScalars = { step: 0, seed: 0, lr: 0, bias1: 1, bias2: 1, ema: 1 };

/** What some dispatches cost: milliseconds, and the work that they declare. */
export interface Cost {
  readonly ms: number;
  readonly macs: number;
  readonly bytes: number;
}

export interface Rounds {
  /** Which round counts: the fastest is the one that others on the machine disturbed least. */
  readonly take: 'median' | 'fastest';
  /** At least so many. */
  readonly least: number;
  /** More, until every group was measured for so long in all, … */
  readonly span: number;
  /** … or all of it together has taken so long; milliseconds. */
  readonly limit: number;
}

/** The time that counts among those of all rounds. */
export function typical(values: readonly number[], { take }: Pick<Rounds, 'take'>): number {
  const sorted = values.toSorted((a, b) => a - b);
  if (take === 'fastest') return sorted[0];
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function geomean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/**
 * Runs a compiled plan again and again and gives the cost of each group of dispatches: the median, or the least, over the
 * rounds of the group's sum. Groups of one plan take turns, so that whatever else the machine does falls on all of them alike.
 */
export async function measure(
  plan: Plan,
  group: (entry: ProfileEntry) => string,
  rounds: Rounds,
): Promise<Map<string, Cost>> {
  const sums = new Map<string, Cost[]>();
  await profile(plan, still); // the first run pays for page faults and caches
  const started = performance.now();
  const enough = () =>
    performance.now() - started > rounds.limit ||
    [...sums.values()].every((costs) => costs.reduce((span, { ms }) => span + ms, 0) >= rounds.span);
  for (let round = 0; round < rounds.least || !enough(); round++)
    for (const [name, cost] of totals(await profile(plan, still), group))
      sums.set(name, [...(sums.get(name) ?? []), cost]);
  const costs = new Map<string, Cost>();
  for (const [name, found] of sums) {
    const times = found.map(({ ms }) => ms);
    costs.set(name, { ...found[0], ms: typical(times, rounds) });
  }
  return costs;
}

/** The summed cost of each group of dispatches. */
function totals(entries: readonly ProfileEntry[], group: (entry: ProfileEntry) => string): Map<string, Cost> {
  const groups = new Map<string, Cost>();
  for (const entry of entries) {
    const name = group(entry);
    const { ms, macs, bytes } = groups.get(name) ?? { ms: 0, macs: 0, bytes: 0 };
    groups.set(name, { ms: ms + entry.ms, macs: macs + entry.macs, bytes: bytes + entry.bytes });
  }
  return groups;
}
