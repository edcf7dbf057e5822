// Finding the original of an edited copy: how often is it the nearest of a gallery by cosine similarity?
import { ShapeError } from '../errors.js';
import { deviceNearestRows, nearestRows } from '../metrics/nearest.js';
import { l2NormalizedFrom, rowMean, rowsOf } from '../metrics/rows.js';
import type { Device } from '../runtime/device.js';

/** What was found for N copies. */
export interface FoundCopies {
  /** Share of the copies whose original is the nearest. */
  top1: number;
  /** For each copy the numbers of the nearest rows of the gallery, the nearest first. */
  nearest: Int32Array[];
}

export interface FindCopiesOptions {
  /** Nearest rows to list for each copy; default 5. */
  count?: number;
  /** Take the gallery's mean off both sides first; default true. */
  center?: boolean;
  /** Search on it; on the CPU where none is given. */
  device?: Device;
}

/**
 * Searches the gallery for every copy: row i of `copies` was made from row i of `gallery`. Another row as near as the original
 * counts against it: an encoder that maps everything to one point scores 0, not 1.
 *
 * @param gallery (N, F)
 * @param copies (N, F)
 * @throws ShapeError when sizes do not fit; NonFiniteError when an embedding holds a NaN or infinity
 */
export async function findCopies(
  gallery: Float32Array,
  copies: Float32Array,
  features: number,
  { count = 5, center = true, device }: FindCopiesOptions = {},
): Promise<FoundCopies> {
  const rows = rowsOf('findCopies gallery', gallery, features);
  const asked = rowsOf('findCopies copies', copies, features);
  if (asked !== rows) throw new ShapeError(`findCopies: expected a copy of each of ${rows} rows, got ${asked}`);
  const mean = center ? rowMean(gallery, features) : new Float64Array(features);
  const bank = l2NormalizedFrom('findCopies gallery', gallery, mean);
  const queries = l2NormalizedFrom('findCopies copies', copies, mean);
  const most = Math.min(rows, Math.max(2, count));
  const found = device
    ? await deviceNearestRows(device, bank, queries, features, most)
    : nearestRows(bank, queries, features, most);
  const isAlone = (n: number) =>
    found[n].rows[0] === n && (rows === 1 || found[n].similarity[0] > found[n].similarity[1]);
  const hits = found.reduce((sum, _, n) => sum + (isAlone(n) ? 1 : 0), 0);
  return { top1: hits / rows, nearest: found.map(({ rows }) => rows.slice(0, count)) };
}
