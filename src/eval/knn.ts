import { ShapeError } from '../errors.js';
import { fourDots, rowsOf, unitRows } from './rows.js';

/** Labelled embeddings: `data` (N, F), `labels` (N) of whole numbers from 0. */
export interface Labelled {
  data: Float32Array;
  labels: ArrayLike<number>;
}

/** What `knn` found: one predicted label a query, and the share of them that are right. */
export interface KnnResult {
  accuracy: number;
  predictions: Int32Array;
}

/**
 * Weighted k-nearest-neighbour classification by cosine similarity: each of the k nearest rows of `bank` votes for its
 * label with weight exp(similarity / temperature) (DESIGN.md, "Evaluation").
 *
 * @param bank the labelled embeddings to search, (M, F)
 * @param queries the embeddings to classify, (N, F), with the true labels that `accuracy` counts against
 * @param features F
 * @throws ShapeError when sizes do not fit; NonFiniteError when an embedding holds a NaN or infinity
 */
export function knn(
  bank: Labelled,
  queries: Labelled,
  features: number,
  { k = 20, temperature = 0.07 }: { k?: number; temperature?: number } = {},
): KnnResult {
  const bankRows = checkLabels('knn bank', bank, features);
  const queryRows = checkLabels('knn queries', queries, features);
  if (!Number.isInteger(k) || k < 1)
    throw new ShapeError(`knn: expected k to be a whole number of at least 1, got ${k}`);
  const a = unitRows('knn bank', bank.data, features);
  const b = unitRows('knn queries', queries.data, features);
  const near = Math.min(k, bankRows);
  const classes = 1 + largest(bank.labels);

  const predictions = new Int32Array(queryRows);
  const dots = new Float64Array(4 * bankRows);
  const similarity = new Float64Array(near);
  const neighbour = new Int32Array(near);
  const votes = new Float64Array(classes);
  let right = 0;
  for (let n = 0; n < queryRows; n++) {
    if (n % 4 === 0) fourDots(b, n, a, features, dots);
    let found = 0;
    for (let m = 0; m < bankRows; m++) {
      const s = dots[(n % 4) * bankRows + m];
      if (found === near && s <= similarity[near - 1]) continue;
      let at = found < near ? found++ : near - 1;
      for (; at > 0 && s > similarity[at - 1]; at--) {
        similarity[at] = similarity[at - 1];
        neighbour[at] = neighbour[at - 1];
      }
      similarity[at] = s;
      neighbour[at] = m;
    }
    votes.fill(0);
    // Relative to the nearest neighbour, so that a small temperature cannot overflow.
    for (let i = 0; i < near; i++) {
      votes[bank.labels[neighbour[i]]] += Math.exp((similarity[i] - similarity[0]) / temperature);
    }
    let best = 0;
    for (let c = 1; c < classes; c++) if (votes[c] > votes[best]) best = c;
    predictions[n] = best;
    if (best === queries.labels[n]) right++;
  }
  return { accuracy: right / queryRows, predictions };
}

function checkLabels(what: string, { data, labels }: Labelled, features: number): number {
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
