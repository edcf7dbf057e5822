// k-nearest-neighbor classification of embeddings, on the CPU and on the device.
import { expectOptions, type Kinds } from '../checks/options.js';
import { ShapeError } from '../errors.js';
import type { Device } from '../runtime/device.js';
import { deviceNearestRows, type Nearest, nearestRows } from './nearest.js';
import { l2NormalizedRows, rowsOf } from './rows.js';

/** Labeled embeddings: `data` (N, F), `labels` (N) of whole numbers from 0. */
export interface Labeled {
  data: Float32Array;
  labels: ArrayLike<number>;
}

/** What `knn` found: one predicted label a query, and the share of them that are right. */
export interface KnnResult {
  accuracy: number;
  predictions: Int32Array;
}

/** Defaults. */
export const knnDefaults = { k: 20, temperature: 0.07 };

export interface KnnOptions {
  /** Neighbors that vote; default 20. */
  k?: number;
  /** Temperature of the similarities, above 0; default 0.07. */
  temperature?: number;
}

const knnOptions: Kinds<KnnOptions> = { k: 'number', temperature: 'number' };

/**
 * Weighted k-nearest-neighbor classification by cosine similarity: each of the k nearest rows of `bank` votes for its
 * label with weight exp(similarity / temperature) (DESIGN.md, "Evaluation").
 *
 * @param bank the labeled embeddings to search, (M, F)
 * @param queries the embeddings to classify, (N, F), with the true labels that `accuracy` counts against
 * @param features F
 * @throws ShapeError when sizes do not fit; NonFiniteError when an embedding holds a NaN or infinity
 */
export function knn(bank: Labeled, queries: Labeled, features: number, options: KnnOptions = {}): KnnResult {
  const { a, b, near } = prepare(bank, queries, features, options);
  const nearest = nearestRows(a, b, features, near);
  return tally(nearest, bank.labels, queries.labels, options);
}

/** The same, similarities computed on a device: much faster where embeddings are long or many. */
export async function deviceKnn(
  device: Device,
  bank: Labeled,
  queries: Labeled,
  features: number,
  given: KnnOptions & { /** Most bytes of a block of the bank. */ block?: number } = {},
): Promise<KnnResult> {
  const { block = 2 ** 26, ...options } = expectOptions('knn', given, { ...knnOptions, block: 'number' });
  const { a, b, near } = prepare(bank, queries, features, options);
  const nearest = await deviceNearestRows(device, a, b, features, near, block);
  return tally(nearest, bank.labels, queries.labels, options);
}

function prepare(bank: Labeled, queries: Labeled, features: number, options: KnnOptions) {
  const { k = knnDefaults.k, temperature = knnDefaults.temperature } = expectOptions('knn', options, knnOptions);
  const bankRows = checkLabels('knn bank', bank, features);
  checkLabels('knn queries', queries, features);
  if (!Number.isInteger(k) || k < 1)
    throw new ShapeError(`knn: expected k to be a whole number of at least 1, got ${k}`);
  if (!(temperature > 0)) throw new ShapeError(`knn: expected a temperature above 0, got ${temperature}`);
  const a = l2NormalizedRows('knn bank', bank.data, features);
  const b = l2NormalizedRows('knn queries', queries.data, features);
  return { a, b, near: Math.min(k, bankRows) };
}

function tally(
  nearest: readonly Nearest[],
  labels: ArrayLike<number>,
  truth: ArrayLike<number>,
  { temperature = knnDefaults.temperature }: KnnOptions,
): KnnResult {
  const votes = new Float64Array(1 + largest(labels));
  let right = 0;
  const predictions = Int32Array.from(nearest, ({ similarity, rows }, n) => {
    votes.fill(0);
    // Relative to the nearest neighbor, so that a small temperature cannot overflow.
    rows.forEach((row, i) => {
      votes[labels[row]] += Math.exp((similarity[i] - similarity[0]) / temperature);
    });
    let best = 0;
    for (let c = 1; c < votes.length; c++) if (votes[c] > votes[best]) best = c;
    if (best === truth[n]) right++;
    return best;
  });
  return { accuracy: right / nearest.length, predictions };
}

function checkLabels(what: string, { data, labels }: Labeled, features: number): number {
  const rows = rowsOf(what, data, features);
  if (labels.length !== rows) {
    throw new ShapeError(`${what}: expected one label for each of ${rows} embeddings, got ${labels.length} labels`);
  }
  for (let n = 0; n < rows; n++) {
    const label = labels[n];
    if (!Number.isInteger(label) || label < 0) {
      throw new ShapeError(`${what}: expected labels to be whole numbers from 0, got ${label} at ${n}`);
    }
  }
  return rows;
}

function largest(values: ArrayLike<number>): number {
  let top = 0;
  for (let i = 0; i < values.length; i++) top = Math.max(top, values[i]);
  return top;
}
