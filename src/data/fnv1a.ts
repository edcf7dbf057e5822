/**
 * FNV-1a, 32 bits.
 *
 * @param data bytes, or a text's in UTF-8
 * @param from the hash to go on from
 */
export function fnv1a(data: string | Iterable<number>, from = 0x811c9dc5): number {
  let hash = from;
  for (const byte of typeof data === 'string' ? new TextEncoder().encode(data) : data)
    hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
