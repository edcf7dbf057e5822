// The nearest rows of a bank of embeddings to each query, by the largest dot product: on the CPU, and on a device.
import { matmulInto } from '../ops/matmul.js';
import type { Device } from '../runtime/device.js';
import { Plan } from '../runtime/plan.js';
import { tensor, transient } from '../tensor/tensor.js';
import { fourDots } from './rows.js';

/** The nearest rows of a bank to one query, the nearest first. */
export class Nearest {
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

/** For each row of `queries` (N, F) the `count` rows of `bank` (M, F) whose dot products with it are largest. */
export function nearestRows(bank: Float32Array, queries: Float32Array, features: number, count: number): Nearest[] {
  const rows = bank.length / features;
  const dots = new Float64Array(4 * rows);
  return Array.from({ length: queries.length / features }, (_, n) => {
    if (n % 4 === 0) fourDots(queries, n, bank, features, dots);
    const found = new Nearest(count);
    found.offer(dots.subarray((n % 4) * rows, ((n % 4) + 1) * rows), 0);
    return found;
  });
}

/**
 * The same, dot products computed on a device: much faster where embeddings are long or many.
 *
 * @param block most bytes of a block of the bank
 */
export async function deviceNearestRows(
  device: Device,
  bank: Float32Array,
  queries: Float32Array,
  features: number,
  count: number,
  block = 2 ** 26,
): Promise<Nearest[]> {
  const [bankRows, queryRows] = [bank.length / features, queries.length / features];
  const rows = Math.min(bankRows, Math.max(1, Math.floor(block / 4 / features)));
  const batch = Math.min(queryRows, 64);
  const nearest = Array.from({ length: queryRows }, () => new Nearest(count));
  const plan = new Plan(device, { label: 'nearest' });
  const searched = device.buffer('nearest.bank', rows * features * 4);
  const asked = device.buffer('nearest.queries', batch * features * 4);
  try {
    const out = transient(plan, 'nearest.similarities', [batch, rows]);
    matmulInto(plan, {
      a: tensor(asked, 'queries', [batch, features]),
      b: tensor(searched, 'bank', [rows, features]),
      out,
      transposeB: true,
    });
    plan.retain(out);
    await plan.compile();
    for (let first = 0; first < bankRows; first += rows) {
      const used = Math.min(rows, bankRows - first);
      device.write(searched, bank.subarray(first * features, (first + used) * features));
      for (let n = 0; n < queryRows; n += batch) {
        device.write(asked, queries.subarray(n * features, Math.min(n + batch, queryRows) * features));
        plan.run();
        const similarities = await plan.read(out);
        for (let i = 0; i < Math.min(batch, queryRows - n); i++)
          nearest[n + i].offer(similarities.subarray(i * rows, i * rows + used), first);
      }
    }
    return nearest;
  } finally {
    plan.dispose();
    device.free(searched);
    device.free(asked);
  }
}
