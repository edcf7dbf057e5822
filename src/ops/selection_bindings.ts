import type { Tensor } from '../tensor/tensor.js';

/** The index lists of a weight, by their names in kernels; undefined if it is whole or a leading block. */
export function lists({ keptRows, keptColumns }: Tensor) {
  return { kept_rows: keptRows, kept_columns: keptColumns };
}
