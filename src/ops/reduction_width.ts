import type { Variant } from '../runtime/variants.js';

/** How many threads share a plane. */
export interface ReductionWidth extends Variant {
  readonly lanes: number;
}

/** One lane per plane if planes are small, and on software adapters, where barriers are slow. */
export function laneForms(software: boolean, pixels: number, lanes: number): readonly ReductionWidth[] {
  const alone: ReductionWidth = { name: 'alone', lanes: 1 };
  const together: ReductionWidth = { name: 'together', lanes };
  return software || pixels < 32 ? [alone, together] : [together, alone];
}

/** How many threads share a row of a matrix, and how many a workgroup has. */
export interface RowForm extends Variant {
  readonly consts: { readonly LANES: number; readonly THREADS: number };
}

/** As `laneForms`, for rows of up to tens of thousands of columns. */
export function rowForms(software: boolean, columns: number): readonly RowForm[] {
  const alone: RowForm = { name: 'alone', consts: { LANES: 1, THREADS: 64 } };
  const few: RowForm = { name: 'few', consts: { LANES: 8, THREADS: 8 } };
  const many: RowForm = { name: 'many', consts: { LANES: 32, THREADS: 64 } };
  const workgroup: RowForm = { name: 'workgroup', consts: { LANES: 256, THREADS: 256 } };
  if (software) return columns < 1024 ? [alone, few, many, workgroup] : [few, many, workgroup, alone];
  if (columns < 16) return [alone, many, few, workgroup];
  return columns < 1024 ? [many, workgroup, few, alone] : [workgroup, many, few, alone];
}

/** Workgroups for `rows` rows, and the constants and parameters that say how their threads share them. */
export function overRows({ consts }: RowForm, rows: number) {
  return {
    workgroups: Math.ceil((rows * consts.LANES) / consts.THREADS),
    consts,
    half: Math.floor(consts.LANES / 2),
  };
}
