import type { Dispatch } from './commands.js';

/** A phase of a step, as a network's pass or the loss, in FLOPs: two a multiply-add. */
export interface LedgerPart {
  readonly name: string;
  /** Of its dispatches. */
  readonly forward: number;
  /** Of its backward's: gradients of weights and inputs, but for those that nothing asks for, as of an image. */
  readonly backward: number;
}

/** What a step computes, by its parts. */
export interface Ledger {
  /** In the order in which they are recorded; without those that form no product. */
  readonly parts: readonly LedgerPart[];
  /** The sum over all dispatches. */
  readonly flops: number;
  /** By the rule of published counts: 2 a multiply-add of every forward, and 4 more where it goes back. */
  readonly byRule: number;
}

const back = 'backward/';

/** The ledger of a step from the dispatches of its plan (DESIGN.md, "Ledger"). */
export function ledgerOf(dispatches: readonly Pick<Dispatch, 'phase' | 'macs'>[]): Ledger {
  const parts = new Map<string, { name: string; forward: number; backward: number }>();
  for (const { phase, macs } of dispatches) {
    if (macs === 0) continue;
    const name = phase.startsWith(back) ? phase.slice(back.length) : phase;
    const part = parts.get(name) ?? { name, forward: 0, backward: 0 };
    part[phase.startsWith(back) ? 'backward' : 'forward'] += 2 * macs;
    parts.set(name, part);
  }
  const all = [...parts.values()];
  const sum = (of: (part: LedgerPart) => number) => all.reduce((total, part) => total + of(part), 0);
  return {
    parts: all,
    flops: sum(({ forward, backward }) => forward + backward),
    byRule: sum(({ forward, backward }) => (backward > 0 ? 3 : 1) * forward),
  };
}
