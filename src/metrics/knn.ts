// k-nearest-neighbor classification of embeddings, on the CPU and on the device.
import { expectOptions, type Kinds } from '../checks/options.js';
import { ShapeError } from '../errors.js';
import { matmulInto } from '../ops/matmul.js';
import type { Device } from '../runtime/device.js';
import { Plan } from '../runtime/plan.js';
import { tensor, transient } from '../tensor/tensor.js';
import { fourDots, l2NormalizedRows, rowsOf } from './rows.js';

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
  const { a, b, bankRows, queryRows, near } = prepare(bank, queries, features, options);
  const dots = new Float64Array(4 * bankRows);
  const nearest = Array.from({ length: queryRows }, (_, n) => {
    if (n % 4 === 0) fourDots(b, n, a, features, dots);
    const found = new Nearest(near);
    found.offer(dots.subarray((n % 4) * bankRows, ((n % 4) + 1) * bankRows), 0);
    return found;
  });
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
  const { a, b, bankRows, queryRows, near } = prepare(bank, queries, features, options);
  const rows = Math.min(bankRows, Math.max(1, Math.floor(block / 4 / features)));
  const batch = Math.min(queryRows, 64);
  const nearest = Array.from({ length: queryRows }, () => new Nearest(near));
  const plan = new Plan(device, { label: 'knn' });
  const buffers = [device.buffer('knn.bank', rows * features * 4), device.buffer('knn.queries', batch * features * 4)];
  try {
    const [searched, asked] = buffers;
    const out = transient(plan, 'knn.similarities', [batch, rows]);
    matmulInto(plan, {
      a: tensor(asked, 'queries', [batch, features]),
      b: tensor(searched, 'bank', [rows, features]),
      out,
      transposeB: true,
    });
    plan.retain(out);
    await plan.compile();
    for (let first = 0; first < bankRows; first += rows) {
      const count = Math.min(rows, bankRows - first);
      device.write(searched, a.subarray(first * features, (first + count) * features));
      for (let n = 0; n < queryRows; n += batch) {
        device.write(asked, b.subarray(n * features, Math.min(n + batch, queryRows) * features));
        plan.run();
        const similarities = await plan.read(out);
        for (let i = 0; i < Math.min(batch, queryRows - n); i++)
          nearest[n + i].offer(similarities.subarray(i * rows, i * rows + count), first);
      }
    }
    return tally(nearest, bank.labels, queries.labels, options);
  } finally {
    plan.dispose();
    for (const buffer of buffers) device.free(buffer);
  }
}

function prepare(bank: Labeled, queries: Labeled, features: number, options: KnnOptions) {
  const { k = knnDefaults.k, temperature = knnDefaults.temperature } = expectOptions('knn', options, knnOptions);
  const bankRows = checkLabels('knn bank', bank, features);
  const queryRows = checkLabels('knn queries', queries, features);
  if (!Number.isInteger(k) || k < 1)
    throw new ShapeError(`knn: expected k to be a whole number of at least 1, got ${k}`);
  if (!(temperature > 0)) throw new ShapeError(`knn: expected a temperature above 0, got ${temperature}`);
  const a = l2NormalizedRows('knn bank', bank.data, features);
  const b = l2NormalizedRows('knn queries', queries.data, features);
  return { a, b, bankRows, queryRows, near: Math.min(k, bankRows) };
}

/** The nearest rows of a bank to one query, the nearest first. */
class Nearest {
  readonly similarity: Float64Array;
  readonly rows: Int32Array;
  #found = 0;

  constructor(count: number) {
    this.similarity = new Float64Array(count);
    this.rows = new Int32Array(count);
  }

  /** Takes those that are nearer, of rows `first`, first + 1, ...; of equal ones the first. */
  offer(similarities: Float64Array | Float32Array, first: number): void {
    const { similarity, rows } = this;
    const most = rows.length;
    for (let m = 0; m < similarities.length; m++) {
      const s = similarities[m];
      if (this.#found === most && s <= similarity[most - 1]) continue;
      let at = this.#found < most ? this.#found++ : most - 1;
      for (; at > 0 && s > similarity[at - 1]; at--) {
        similarity[at] = similarity[at - 1];
        rows[at] = rows[at - 1];
      }
      similarity[at] = s;
      rows[at] = first + m;
    }
  }
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
