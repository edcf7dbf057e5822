import { pca } from '../../metrics/pca.js';
import { l2NormalizedRows } from '../../metrics/rows.js';
import { tsne } from '../../metrics/tsne.js';
import type { FeatureMap } from './scores.js';

/** How features are drawn in a plane. */
export const mapMethods = ['tsne', 'pca'] as const;
export type MapMethod = (typeof mapMethods)[number];

const most = 1000; // t-SNE's work grows with the square

/**
 * Lays out features (N, F) in a plane, at most a thousand, evenly thinned. t-SNE goes by their directions, as kNN does.
 *
 * @param of whose they are, in words
 */
export function featureMap(
  of: string,
  { data, labels }: { data: Float32Array; labels: ArrayLike<number> },
  features: number,
  classes: readonly string[],
  method: MapMethod = 'tsne',
): FeatureMap {
  const N = labels.length;
  const count = Math.min(N, most);
  const chosen = Array.from({ length: count }, (_, i) => Math.floor((i * N) / count));
  const rows = new Float32Array(count * features);
  chosen.forEach((n, i) => {
    rows.set(data.subarray(n * features, (n + 1) * features), i * features);
  });
  const points =
    method === 'tsne' ? tsne(l2NormalizedRows('map', rows, features), features) : pca(rows, features).projected;
  // Four digits are finer than what can be seen.
  const axis = (at: 0 | 1) => chosen.map((_, i) => Number(points[2 * i + at].toPrecision(4)));
  return {
    of,
    method: method === 'tsne' ? 't-SNE' : 'PCA',
    classes,
    x: axis(0),
    y: axis(1),
    labels: chosen.map((n) => labels[n]),
  };
}
