// Sinkhorn-Knopp: balanced soft assignments of rows to prototypes, by iterations in logarithms.
import { expectArguments } from '../checks/arguments.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { ConfigError, ShapeError } from '../errors.js';
import { sinkhorn as kernel } from '../generated/sinkhorn.js';
import type { Plan } from '../runtime/plan.js';
import type { Variant } from '../runtime/variants.js';
import { shapeText, type Tensor, transient } from '../tensor/tensor.js';
import { overRows, rowForms } from './reduction_width.js';

/** Defaults of SwAV. */
export const sinkhornDefaults = { iterations: 3, epsilon: 0.05 };

export interface SinkhornOptions {
  /** How often columns and rows are scaled. */
  iterations?: number;
  /** ε: the smaller, the closer each row's code is to one-hot. */
  epsilon?: number;
}

const sinkhornOptions: Kinds<SinkhornOptions> = { iterations: 'number', epsilon: 'number' };

/**
 * Codes of a batch, spread evenly over the prototypes (SwAV): exp(scores / ε), its columns scaled to sums of 1/T, then its rows
 * to 1/N, `iterations` times; finally the rows to 1. Computed in logarithms, so large scores do not overflow.
 *
 * @param scores (N, T) of N embeddings and T prototypes
 * @returns (N, T), a constant: a distribution for each row
 * @throws ShapeError if `scores` is not a matrix, ConfigError if an option is out of range
 */
export function sinkhorn(plan: Plan, scores: Tensor, options: SinkhornOptions = {}): Tensor {
  expectArguments('sinkhorn', { plan, scores });
  const { iterations = sinkhornDefaults.iterations, epsilon = sinkhornDefaults.epsilon } = expectOptions(
    'sinkhorn',
    options,
    sinkhornOptions,
  );
  const [N, T] = scores.shape;
  if (scores.shape.length !== 2 || N * T === 0)
    throw new ShapeError(`sinkhorn: expected scores (N, T), all above 0, got ${shapeText(scores.shape)}`);
  if (!(Number.isInteger(iterations) && iterations >= 1))
    throw new ConfigError(`sinkhorn: expected iterations that are whole and at least 1, got ${iterations}`);
  if (!(epsilon > 0 && Number.isFinite(1 / epsilon)))
    throw new ConfigError(`sinkhorn: expected an epsilon above 0, got ${epsilon}`);
  const { software } = plan.device;
  const s = scores;
  const f = transient(plan, 'sinkhorn.f', [N, 2]);
  const g = transient(plan, 'sinkhorn.g', [T]);
  const q = transient(plan, 'sinkhorn.q', [N, T]);
  const sizes = { N, T, inverse: 1 / epsilon };
  plan.clear(f);
  for (let i = 0; i < iterations; i++) {
    plan.choose('sinkhorn.columns', columnForms(software), ({ consts }, plan) =>
      plan.dispatch(kernel, 'columns', {
        params: { ...sizes, half: 0 },
        bindings: { s, f, g_out: g },
        workgroups: Math.ceil(T / consts.COLUMNS),
        consts,
        bytes: 4 * N * T,
      }),
    );
    plan.choose('sinkhorn.rows', rowForms(software, T), (form, plan) => {
      const { half, ...common } = overRows(form, N);
      plan.dispatch(kernel, 'rows', {
        ...common,
        params: { ...sizes, half },
        bindings: { s, g, f_out: f },
        bytes: 4 * N * T,
      });
    });
  }
  plan.choose('sinkhorn.codes', rowForms(software, T), (form, plan) => {
    const { half, ...common } = overRows(form, N);
    plan.dispatch(kernel, 'codes', {
      ...common,
      params: { ...sizes, half },
      bindings: { s, f, g, q },
      bytes: 8 * N * T,
    });
  });
  return q;
}

interface ColumnForm extends Variant {
  readonly consts: { readonly COLUMNS: number; readonly ROWS: number; readonly THREADS: number };
}

/** Adjacent columns per workgroup, for coalesced reads; several threads share a column if barriers are cheap. */
function columnForms(software: boolean): readonly ColumnForm[] {
  const alone: ColumnForm = { name: 'alone', consts: { COLUMNS: 8, ROWS: 1, THREADS: 8 } };
  const many: ColumnForm = { name: 'many', consts: { COLUMNS: 16, ROWS: 4, THREADS: 64 } };
  const workgroup: ColumnForm = { name: 'workgroup', consts: { COLUMNS: 16, ROWS: 16, THREADS: 256 } };
  return software ? [alone, many, workgroup] : [workgroup, many, alone];
}
