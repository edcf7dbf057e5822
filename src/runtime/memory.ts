/** When a slot is in use: the first and last command that touch it, both included. */
export interface Lifetime {
  readonly label: string;
  readonly bytes: number;
  first: number;
  last: number;
}

/** Bytes of all buffers that slots are held in. */
export function heldBytes(slots: readonly Lifetime[]): number {
  return assign(slots).sizes.reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * Assigns a buffer to every slot so that slots in use at the same time never share one.
 * Largest first, each into the smallest buffer that is free during its lifetime: close to the minimum total.
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

/**
 * Packs blocks of bytes into one, each at a multiple of `align`; equal blocks share an offset.
 *
 * @returns for each block its offset, and the total in bytes.
 */
export function pile(
  blocks: readonly ArrayBuffer[],
  align: number,
): { offsets: number[]; bytes: Uint8Array<ArrayBuffer> } {
  const places = new Map<string, { offset: number; block: ArrayBuffer }>();
  let end = 0;
  const offsets = blocks.map((block) => {
    const key = new Uint32Array(block).join();
    const known = places.get(key);
    if (known) return known.offset;
    const offset = end;
    places.set(key, { offset, block });
    end += Math.ceil(block.byteLength / align) * align;
    return offset;
  });
  const bytes = new Uint8Array(Math.max(end, 16));
  for (const { offset, block } of places.values()) bytes.set(new Uint8Array(block), offset);
  return { offsets, bytes };
}
