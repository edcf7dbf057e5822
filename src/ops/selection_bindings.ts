import type { Tensor } from '../tensor/tensor.js';

/** The keep-lists of a weight, as kernels name them; undefined where it is whole or a leading block. */
export function lists({ keptRows, keptColumns }: Tensor) {
  return { kept_rows: keptRows, kept_columns: keptColumns };
}
