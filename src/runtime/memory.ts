/** When a slot is in use: the first and last command that touch it, both included. */
export interface Lifetime {
  readonly label: string;
  readonly bytes: number;
  first: number;
  last: number;
}

/**
 * Gives every slot a buffer so that slots in use at the same time never share one.
 * Largest first, each into the smallest buffer that is free during its life: close to the least possible sum.
 *
 * @returns for each slot the index of its buffer, and the buffers' sizes in bytes.
 */
export function assign(slots: readonly Lifetime[]): { places: number[]; sizes: number[] } {
  const places = new Array<number>(slots.length);
  const sizes: number[] = [];
  const tenants: Lifetime[][] = [];
  const order = slots
    .map((_, i) => i)
    .sort((a, b) => slots[b].bytes - slots[a].bytes || slots[a].first - slots[b].first);
  for (const i of order) {
    const slot = slots[i];
    let best = -1;
    for (let b = 0; b < sizes.length; b++) {
      const free = tenants[b].every((other) => other.last < slot.first || slot.last < other.first);
      if (free && (best < 0 || sizes[b] < sizes[best])) best = b;
    }
    if (best < 0) {
      best = sizes.push(slot.bytes) - 1;
      tenants.push([]);
    }
    tenants[best].push(slot);
    places[i] = best;
  }
  return { places, sizes };
}
