import { pca } from '../../metrics/pca.js';
import type { FeatureMap } from './scores.js';

/** How features are drawn in a plane: by their two directions of most variance, or not at all. */
export const mapMethods = ['pca', 'none'] as const;
export type MapMethod = (typeof mapMethods)[number];

const most = 1000; // more dots would hide each other

/**
 * Lays out features (N, F) in a plane by PCA, at most a thousand, evenly thinned.
 *
 * @param of whose they are, in words
 */
export function featureMap(
  of: string,
  { data, labels }: { data: Float32Array; labels: ArrayLike<number> },
  features: number,
  classes: readonly string[],
): FeatureMap {
  const N = labels.length;
  const count = Math.min(N, most);
  const chosen = Array.from({ length: count }, (_, i) => Math.floor((i * N) / count));
  const rows = new Float32Array(count * features);
  chosen.forEach((n, i) => {
    rows.set(data.subarray(n * features, (n + 1) * features), i * features);
  });
  const points = pca(rows, features).projected;
  // Four digits are finer than what can be seen.
  const axis = (at: 0 | 1) => chosen.map((_, i) => Number(points[2 * i + at].toPrecision(4)));
  return { of, classes, x: axis(0), y: axis(1), labels: chosen.map((n) => labels[n]) };
}
