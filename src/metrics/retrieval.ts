import { ShapeError } from '../errors.js';
import { fourDots, l2NormalizedRows, rowsOf } from './rows.js';

/** Share of queries whose twin is the nearest (`top1`), or among the five nearest (`top5`), of `count` candidates. */
export interface RetrievalResult {
  top1: number;
  top5: number;
  count: number;
}

/**
 * Cross-style retrieval: row i of `queries` and row i of `candidates` show the same thing in two styles; how often is
 * the twin nearest by cosine similarity? Each set's own mean is removed first: a constant shift of style costs nothing.
 * A candidate as near as the twin counts against it: an encoder that maps everything to one point scores 0, not 1.
 *
 * @param queries (N, F)
 * @param candidates (N, F)
 * @throws ShapeError when sizes do not fit; NonFiniteError when an embedding holds a NaN or infinity
 */
export function retrieval(queries: Float32Array, candidates: Float32Array, features: number): RetrievalResult {
  const count = rowsOf('retrieval queries', queries, features);
  const others = rowsOf('retrieval candidates', candidates, features);
  if (count !== others) {
    throw new ShapeError(`retrieval: expected a candidate for each of ${count} queries, got ${others}`);
  }
  const a = l2NormalizedRows('retrieval queries', queries, features, true);
  const b = l2NormalizedRows('retrieval candidates', candidates, features, true);
  const dots = new Float64Array(4 * count);
  let top1 = 0;
  let top5 = 0;
  for (let i = 0; i < count; i++) {
    if (i % 4 === 0) fourDots(a, i, b, features, dots);
    const row = dots.subarray((i % 4) * count, ((i % 4) + 1) * count);
    let nearer = 0;
    for (let j = 0; j < count && nearer < 5; j++) {
      if (j !== i && row[j] >= row[i]) nearer++;
    }
    if (nearer === 0) top1++;
    if (nearer < 5) top5++;
  }
  return { top1: top1 / count, top5: top5 / count, count };
}
