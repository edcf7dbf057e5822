// The cross-correlation loss of Barlow Twins, SACL and XD, in Gram form or directly.

import { expectArguments } from '../checks/arguments.js';
import { expectFinite, expectOneOf } from '../checks/one_of.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import type { Tape } from '../core/tape.js';
import { ShapeError, ValidationError } from '../errors.js';
import { cross_correlation as kernel } from '../generated/cross_correlation.js';
import type { DispatchOptions } from '../runtime/commands.js';
import type { EntryName } from '../runtime/kernel.js';
import type { Plan } from '../runtime/plan.js';
import type { Variant } from '../runtime/variants.js';
import { bindingAlignment } from '../tensor/binding.js';
import { viewText } from '../tensor/footprint.js';
import { narrowView, numel, shapeText, type Tensor, tensor, transient } from '../tensor/tensor.js';
import { matmulInto } from './matmul.js';
import { checkTerms, metricColumns, partner, type Standardized, type Target, type Term } from './terms.js';

export { metricColumns, type Standardized, type Target, type Term };

/** Defaults of the paper: λ, and s for embeddings of length D. */
export const lossDefaults = { lambda: 0.0051, scale: (D: number) => 196 / D };

export interface LossOptions {
  /** Weight of the off-diagonal part; default 0.0051. */
  lambda?: number;
  /** s: factor of the whole loss; default 196 / D. */
  scale?: number;
  /** How the products are formed; default: by N and D. */
  form?: 'gram' | 'direct';
  /** Direct form: rows of C computed at a time, a multiple of 64; default: as many as fit into one binding. */
  panelRows?: number;
}

const lossOptions: Kinds<LossOptions> = { lambda: 'number', scale: 'number', form: 'string', panelRows: 'number' };

const threads = kernel.consts.THREADS.value;
const partials = bindingAlignment / 4; // partial sums of a matrix's squares, bound separately for each panel
const bindingFloats = 2 ** 25; // 128 MiB, the design floor

const zero = {
  ldz: 0,
  first: 0,
  count: 0,
  accumulate: 0,
  row: 0,
  lambda: 0,
  scale: 0,
  factor: 0,
  subtract: 0,
  weight: 0,
  eps: 0,
  half: 0,
};

/**
 * A = (z − mean) / sqrt(var + eps) per column of z (N, D); z may be columns of wider rows: the leading ones, or an index list's.
 *
 * @throws ShapeError where z is not (N, D) with N > 1.
 */
export function standardize(plan: Plan, z: Tensor, options: { eps?: number } = {}): Standardized {
  expectArguments('standardize', { plan, z });
  const { eps = 1e-5 } = expectOptions('standardize', options, { eps: 'number' });
  expectFinite('standardize: eps', eps, 0);
  if (z.shape.length !== 2 || z.shape[0] < 2)
    throw new ShapeError(`standardize: expected z (N, D) with N > 1, got ${shapeText(z.shape)}; use a larger batch`);
  const [N, D] = z.shape;
  if (D > 1 && z.strides[1] !== 1)
    throw new ShapeError(
      `standardize: expected rows of neighboring elements, got ${viewText(z)}; copy it by contiguous()`,
    );
  const a = transient(plan, 'standardize.a', [N, D]);
  const r = transient(plan, 'standardize.r', [D]);
  dispatch(plan, 'standardize', {
    params: { ...zero, N, D, ldz: z.strides[0], eps },
    bindings: { z, a_out: a, r_out: r, kept: z.keptColumns },
    bytes: 4 * D * (4 * N + 1),
  });
  return { a, r };
}

/** C = AᵀB / N, whole: (D, E) of u (N, D) and v (N, E). */
export function correlation(plan: Plan, u: Standardized, v: Standardized): Tensor {
  const [N, D] = u.a.shape;
  const [M, E] = v.a.shape;
  if (N !== M) throw new ShapeError(`correlation: expected batches of one size, got ${N} and ${M}`);
  const c = transient(plan, 'correlation.c', [D, E]);
  matmulInto(plan, { a: u.a, b: v.a, out: c, transposeA: true, scale: 1 / N });
  return c;
}

/**
 * Cross-correlation losses L_BT(u, v) = scale · (Σ_i (C_ii − 1)² + lambda Σ_{i≠j} C_ij²), C = AᵀB/N, of one or more
 * pairs of batches, and the gradient of their weighted sum (SACL, section 3; closed form in DESIGN.md). Row t of
 * `metrics` (T, 4) gets term t's L, Σ (C_ii − 1)², Σ_{i≠j} C_ij² and mean C_ii, unweighted.
 *
 * A batch without a target is a constant. So is the second of a pair of a batch with itself. Pass all pairs of a
 * training step in one call: they share Gram matrices, and each target costs one product.
 *
 * @throws ShapeError if shapes differ, ConfigError if a target is not part of any term.
 */
export function crossCorrelationLoss(
  plan: Plan,
  terms: readonly Term[],
  targets: readonly Target[],
  metrics: Tensor,
  options: LossOptions = {},
): void {
  expectArguments('crossCorrelationLoss', { plan, metrics });
  expectOptions('crossCorrelationLoss', options, lossOptions);
  checkTerms(terms, targets, metrics);
  const [N, D] = terms[0].u.a.shape;
  const { lambda = lossDefaults.lambda, scale = lossDefaults.scale(D) } = options;
  expectFinite('crossCorrelationLoss: lambda', lambda, 0);
  expectFinite('crossCorrelationLoss: scale', scale, 0);
  if (options.form !== undefined) expectOneOf('crossCorrelationLoss: form', options.form, ['gram', 'direct']);
  const { form = D > 1.33 * N ? 'gram' : 'direct' } = options;
  const loss: Loss = { plan, N, D, lambda, scale, terms, targets, metrics };
  const sums = form === 'gram' ? gramForm(loss) : directForm(loss, panelHeight(D, options.panelRows));
  for (const [target, t] of sums) {
    dispatch(plan, 'backward_input', {
      params: { ...zero, N, D },
      bindings: { a: target.of.a, r: target.of.r, t, dz: target.dz },
      bytes: 20 * N * D,
    });
  }
}

/**
 * The loss of two batches of embeddings, recorded: za, zb (N, D) → `loss` (1), differentiable, and `on`, `off` and `mean` for logging,
 * the other columns of its row (see `crossCorrelationLoss`). The gradient is computed together with the loss.
 */
export function crossCorrelation(
  tape: Tape,
  za: Tensor,
  zb: Tensor,
  options: LossOptions & { eps?: number } = {},
): { loss: Tensor; on: Tensor; off: Tensor; mean: Tensor } {
  expectArguments('crossCorrelation', { tape, za, zb });
  const { eps = 1e-5, ...ofLoss } = expectOptions('crossCorrelation', options, { ...lossOptions, eps: 'number' });
  const { plan } = tape;
  const standardized = [za, zb].map((z) => standardize(plan, z, { eps }));
  const [u, v] = standardized;
  const gradients = [za, zb].map((z) => (tape.requiresGrad(z) ? tape.empty('cross_correlation.dz', z.shape) : null));
  const targets = gradients.flatMap((dz, i) => (dz ? [{ of: standardized[i], dz }] : []));
  const metrics = tape.empty('cross_correlation.metrics', [1, metricColumns.length]);
  crossCorrelationLoss(plan, [{ u, v }], targets, metrics, ofLoss);
  const [loss, on, off, mean] = metricColumns.map((name, i) => tensor(metrics.storage, name, [1], 4 * i));
  let went = false;
  tape.record('crossCorrelation', [za, zb], loss, (dloss) => {
    // the forward computed the gradient; it is scaled in place
    if (went) throw new ValidationError('crossCorrelation: backward already ran; sum the losses and call it once');
    went = true;
    for (const { dz } of targets) {
      const count = numel(dz.shape);
      plan.dispatch(kernel, 'chain', {
        params: { ...zero, N: 0, D: 0, count },
        bindings: { dz, dloss },
        workgroups: Math.ceil(count / threads),
        bytes: 8 * count,
      });
    }
    return gradients;
  });
  return { loss, on, off, mean };
}

interface Form extends Variant {
  readonly consts: { readonly COLUMNS: number; readonly ROWS: number; readonly THREADS: number };
}

/** Workgroup sizes of sums and column passes: narrow on software adapters, where barriers are slow. */
function forms(software: boolean): readonly Form[] {
  const { COLUMNS, ROWS, THREADS } = kernel.consts;
  const wide = { name: 'wide', consts: { COLUMNS: COLUMNS.value, ROWS: ROWS.value, THREADS: THREADS.value } };
  const narrow = { name: 'narrow', consts: { COLUMNS: 8, ROWS: 1, THREADS: 8 } };
  return software ? [narrow, wide] : [wide, narrow];
}

/** Dispatches an entry point in one of the variants; default workgroups: as many as D columns need. */
function dispatch<E extends EntryName<typeof kernel>>(
  plan: Plan,
  entry: E,
  options: Omit<DispatchOptions<typeof kernel, E>, 'workgroups' | 'consts'> & { groups?: number },
): void {
  const { groups, ...common } = options;
  plan.choose(`cross_correlation.${entry}`, forms(plan.device.software), ({ consts }, plan) =>
    plan.dispatch(kernel, entry, {
      ...(common as unknown as DispatchOptions<typeof kernel, E>),
      params: { ...options.params, half: consts.THREADS / 2 },
      consts,
      workgroups: groups ? [groups, 1, 1] : Math.ceil(options.params.D / consts.COLUMNS),
    }),
  );
}

interface Loss {
  readonly plan: Plan;
  readonly N: number;
  readonly D: number;
  readonly lambda: number;
  readonly scale: number;
  readonly terms: readonly Term[];
  readonly targets: readonly Target[];
  readonly metrics: Tensor;
}

/**
 * Gram form, K = A Aᵀ: T = Σ_terms 2·weight·s [(λ/N) K_B A + B · ((1 − λ) c − 1)]. The K_B of all terms are summed before
 * a single product with A.
 */
function gramForm(loss: Loss): Map<Target, Tensor> {
  const { plan, N, D, lambda, scale, terms, targets } = loss;
  const grams = new Map<Standardized, Tensor>();
  const gramOf = (x: Standardized) => {
    let gram = grams.get(x);
    if (!gram) {
      gram = transient(plan, 'cross_correlation.gram', [N, N]);
      matmulInto(plan, { a: x.a, b: x.a, out: gram, transposeB: true });
      grams.set(x, gram);
    }
    return gram;
  };
  const diagonals = terms.map((term, row) => {
    const c = diagonalOf(loss, term);
    const partial = transient(plan, 'cross_correlation.partial', [partials]);
    dispatch(plan, 'gram_product', {
      params: { ...zero, N, D },
      bindings: { gram_a: gramOf(term.u), gram_b: gramOf(term.v), partial_out: partial },
      groups: partials,
      bytes: 8 * N * N,
    });
    measure(loss, row, partial, c, { factor: 1 / N ** 2, subtract: 1 });
    return c;
  });

  return new Map(
    targets.map((target) => {
      const parts = terms.flatMap((term, i) => {
        const other = partner(term, target.of);
        return other ? [{ other, c: diagonals[i], weight: term.weight ?? 1 }] : [];
      });
      const t = transient(plan, 'cross_correlation.t', [N, D]);
      parts.forEach(({ other, c, weight }, i) => {
        dispatch(plan, 'diagonal_term', {
          params: { ...zero, N, D, lambda, scale: scale * weight, accumulate: i === 0 ? 0 : 1 },
          bindings: { b: other.a, c, t_out: t },
          bytes: (i === 0 ? 8 : 12) * N * D,
        });
      });
      const [only] = parts;
      const factor = (2 * scale * lambda) / N;
      if (parts.length === 1) {
        matmulInto(plan, {
          a: gramOf(only.other),
          b: target.of.a,
          out: t,
          scale: factor * only.weight,
          accumulate: true,
        });
      } else {
        const sum = transient(plan, 'cross_correlation.grams', [N, N]);
        parts.forEach(({ other, weight }, i) => {
          plan.dispatch(kernel, 'combine', {
            params: { ...zero, N, D, weight, accumulate: i === 0 ? 0 : 1 },
            bindings: { gram_a: gramOf(other), gram_out: sum },
            workgroups: Math.ceil((N * N) / threads),
            bytes: (i === 0 ? 8 : 12) * N * N,
          });
        });
        matmulInto(plan, { a: sum, b: target.of.a, out: t, scale: factor, accumulate: true });
      }
      return [target, t];
    }),
  );
}

/** Direct form: C in panels of rows, overwritten by G = dL/dC: T_A = B Gᵀ, T_B = A G. */
function directForm(loss: Loss, height: number): Map<Target, Tensor> {
  const { plan, N, D, lambda, scale, terms, targets } = loss;
  const sums = new Map(targets.map((target) => [target, transient(plan, 'cross_correlation.t', [N, D])]));
  const written = new Set<Target>();
  terms.forEach((term, row) => {
    const { u, v, weight = 1 } = term;
    const ofU = targets.find((target) => target.of === u);
    const ofV = u === v ? undefined : targets.find((target) => target.of === v);
    const panels = Math.ceil(D / height);
    const partial = transient(plan, 'cross_correlation.partial', [panels, partials]);
    for (let p = 0; p < panels; p++) {
      const first = p * height;
      const rows = Math.min(height, D - first);
      const ua = narrowView(u.a, first, rows);
      const panel = transient(plan, 'cross_correlation.panel', [rows, D]);
      const count = rows * D;
      matmulInto(plan, { a: ua, b: v.a, out: panel, transposeA: true, scale: 1 / N });
      const part: Tensor = {
        ...partial,
        shape: [partials],
        strides: [1],
        offset: 4 * partials * p,
        bytes: 4 * partials,
      };
      dispatch(plan, 'panel_square', {
        params: { ...zero, N, D, first, count },
        bindings: { panel, partial_out: part },
        groups: partials,
        bytes: 4 * count,
      });
      if (!ofU && !ofV) continue;
      plan.dispatch(kernel, 'panel_gradient', {
        params: { ...zero, N, D, first, count, lambda, scale: scale * weight },
        bindings: { panel },
        workgroups: Math.ceil(count / threads),
        bytes: 8 * count,
      });
      if (ofU) {
        const out = narrowView(sums.get(ofU) as Tensor, first, rows);
        matmulInto(plan, { a: v.a, b: panel, out, transposeB: true, accumulate: written.has(ofU) });
      }
      if (ofV)
        matmulInto(plan, { a: ua, b: panel, out: sums.get(ofV) as Tensor, accumulate: p > 0 || written.has(ofV) });
    }
    for (const target of [ofU, ofV]) if (target) written.add(target);
    measure(loss, row, partial, diagonalOf(loss, term), { factor: 1, subtract: 0 });
  });
  return sums;
}

/** c_i = C_ii of a term. */
function diagonalOf({ plan, N, D }: Loss, { u, v }: Term): Tensor {
  const c = transient(plan, 'cross_correlation.c', [D]);
  dispatch(plan, 'diagonal', {
    params: { ...zero, N, D },
    bindings: { a: u.a, b: v.a, c_out: c },
    bytes: 8 * N * D,
  });
  return c;
}

function measure(
  { plan, N, D, lambda, scale, metrics }: Loss,
  row: number,
  partial: Tensor,
  c: Tensor,
  sums: { factor: number; subtract: number },
): void {
  const count = numel(partial.shape);
  dispatch(plan, 'measure', {
    params: { ...zero, N, D, row, count, lambda, scale, ...sums },
    bindings: { partial, c, metrics },
    groups: 1,
    bytes: 4 * (count + D),
  });
}

function panelHeight(D: number, wanted = bindingFloats / D): number {
  expectFinite('crossCorrelationLoss: panelRows', wanted, 0);
  return Math.max(64, Math.min(Math.ceil(D / 64), Math.floor(wanted / 64)) * 64);
}
