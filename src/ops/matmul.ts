// Products of matrices, any of them a view or transposed.
import { expectArguments } from '../checks/arguments.js';
import { expectFinite } from '../checks/one_of.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import type { Tape } from '../core/tape.js';
import { ShapeError } from '../errors.js';
import { matmul as kernel } from '../generated/matmul.js';
import { matmul_subgroup as subgroupKernel } from '../generated/matmul_subgroup.js';
import type { Plan } from '../runtime/plan.js';
import type { Variant } from '../runtime/variants.js';
import { numel, shapeText, type Tensor, transient, transposeView } from '../tensor/tensor.js';
import { operand } from './copy.js';
import { lists } from './selection_bindings.js';

export interface MatmulIntoOptions {
  /**
   * (M, K), or (K, M) if transposed. Rows may have any offset and stride (a slice of columns); the elements of a row are
   * adjacent.
   */
  a: Tensor;
  /** (K, N), or (N, K) if transposed. May be `a` itself: A Aᵀ is a Gram matrix. `b` and `out` may be slices by index lists. */
  b: Tensor;
  /** (M, N); neither `a` nor `b`. */
  out: Tensor;
  transposeA?: boolean;
  transposeB?: boolean;
  scale?: number;
  /** Add to what is in `out`. */
  accumulate?: boolean;
}

export interface MatmulOptions {
  /** Take the transpose of a. */
  transposeA?: boolean;
  /** Take the transpose of b. */
  transposeB?: boolean;
}

const matmulOptions: Kinds<MatmulOptions> = { transposeA: 'boolean', transposeB: 'boolean' };
const intoOptions: Kinds<MatmulIntoOptions> = {
  ...matmulOptions,
  a: 'object',
  b: 'object',
  out: 'object',
  scale: 'number',
  accumulate: 'boolean',
};

/**
 * y = op(a) op(b), where op transposes if requested, with gradients for both: dop(a) = dy op(b)ᵀ, dop(b) = op(a)ᵀ dy.
 * Without a tape, into given memory, use `matmulInto`; for a weight and a batch of rows, `linear`.
 *
 * @param a (M, K), or (K, M) if transposed; f32
 * @param b (K, N), or (N, K) if transposed; may be `a` itself: A Aᵀ is a Gram matrix
 * @returns (M, N)
 * @throws ShapeError if the shapes do not match
 */
export function matmul(tape: Tape, a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  expectArguments('matmul', { tape, a, b });
  const { transposeA = false, transposeB = false } = expectOptions('matmul', options, matmulOptions);
  const { plan } = tape;
  const [left, right] = [a, b].map((x) => (isReadable(x) ? x : operand(tape, x)));
  const sides = [transposeA ? a.shape[1] : a.shape[0], transposeB ? b.shape[0] : b.shape[1]];
  if ([a, b].some(({ shape }) => shape.length !== 2 || numel(shape) === 0))
    throw new ShapeError(`matmul: expected nonempty matrices, got ${shapeText(a.shape)} and ${shapeText(b.shape)}`);
  const y = tape.empty('matmul.y', sides);
  matmulInto(plan, { a: left, b: right, out: y, transposeA, transposeB });
  return tape.record({ op: 'matmul', transposeA, transposeB }, [left, right], y, (dy) => {
    const [u, v] = [tape.recompute(left), tape.recompute(right)];
    const [da, db] = [left, right].map((x) => (tape.requiresGrad(x) ? tape.empty('matmul.dx', x.shape) : null));
    if (da && transposeA) matmulInto(plan, { a: v, b: dy, out: da, transposeA: transposeB, transposeB: true });
    else if (da) matmulInto(plan, { a: dy, b: v, out: da, transposeB: !transposeB });
    if (db && transposeB) matmulInto(plan, { a: dy, b: u, out: db, transposeA: true, transposeB: transposeA });
    else if (db) matmulInto(plan, { a: u, b: dy, out: db, transposeA: !transposeA });
    return [da, db];
  });
}

/** Whether kernels can read it in place, and no gradient is accumulated in place. */
function isReadable({ strides, grad, keptRows, keptColumns }: Tensor): boolean {
  return strides[1] === 1 && !grad && !keptRows && !keptColumns;
}

/** A variant of a product: of matrices, or of a weight and the pixels of images. */
export interface Form extends Variant {
  readonly name: 'subgroup8' | 'subgroup4' | 'register' | 'shared64' | 'shared32' | 'plain';
  /** Lanes that share the rows of the left operand. */
  readonly share?: number;
  /** Side of a workgroup's tile in workgroup memory. */
  readonly side?: number;
}

/**
 * The variants of a (rows, columns) product, fastest first. On a software adapter barriers cost more than they save; on a
 * GPU tiles in workgroup memory are fast, if small enough that most are full.
 */
export function productForms(software: boolean, rows: number, columns: number): readonly Form[] {
  const subgroup: Form[] = [
    { name: 'subgroup8', subgroups: 8, share: 8 },
    { name: 'subgroup4', subgroups: 4, share: 4 },
  ];
  const register: Form = { name: 'register' };
  const shared: Form[] = [
    { name: 'shared64', side: 64 },
    { name: 'shared32', side: 32 },
  ];
  if (Math.min(rows, columns) <= 32 || rows * columns < 64 * 64 * enoughTiles) shared.reverse();
  const plain: Form = { name: 'plain' };
  return software ? [...subgroup, register, ...shared, plain] : [...shared, ...subgroup, register, plain];
}

/** Rows of a thread's tile: with subgroups 16 are faster by a quarter or more, unless many are padding. */
export function tileRows({ share }: Pick<Form, 'share'>, rows: number): number {
  if (!share) return 8;
  return Math.ceil(rows / 16) * 16 <= 1.25 * Math.ceil(rows / 8) * 8 ? 16 : 8;
}

/** Number of splits of a sum so that `tiles` tiles occupy the device, none shorter than `least`. */
export function splitsFor(software: boolean, tiles: number, length: number, least: number): number {
  const enough = software ? 64 : 512; // workgroups; beyond that, splits only add partial sums
  return Math.min(Math.ceil(enough / tiles), Math.ceil(length / least));
}

const enoughTiles = 64; // workgroups of a GPU: fewer leave parts of it idle
const leastSteps = 128; // elements of k that make a split worth its partial sums
const offsetAlignment = 256; // bytes: WebGPU's largest minimum alignment of a binding's offset

/**
 * out = scale · op(a) · op(b), or out += the same. Recorded into the plan without a tape: no gradient flows through it.
 *
 * @throws ShapeError if the shapes do not match, or the kernel cannot read a view
 */
export function matmulInto(plan: Plan, options: MatmulIntoOptions): void {
  const { a, b, out, transposeA = false, transposeB = false } = expectOptions('matmul', options, intoOptions);
  expectArguments('matmul', { plan, a, b, out });
  if (options.scale !== undefined) expectFinite('matmul: scale', options.scale);
  for (const view of [a, b, out]) checkView(view);
  if (a.keptRows || a.keptColumns)
    throw new ShapeError(`matmul: expected ${a.label} whole, got a slice by index lists`);
  const [[M, K], [am, ak]] = orient(a, transposeA);
  const [[inner, N], [bk, bn]] = orient(b, transposeB);
  if (K !== inner || out.shape[0] !== M || out.shape[1] !== N)
    throw new ShapeError(
      `matmul: expected op(A) (M, K), op(B) (K, N) and out (M, N), ` +
        `got ${shapeText([M, K])}, ${shapeText([inner, N])} and ${shapeText(out.shape)}`,
    );
  const key = `matmul.${transposeA ? 't' : 'n'}${transposeB ? 't' : 'n'}`;
  const forms = productForms(plan.device.software, M, N);
  const panel = Math.max(64, Math.floor(plan.device.dispatchMacs / (N * K) / 64) * 64); // rows
  for (let first = 0; first < M; first += panel) {
    const rows = Math.min(panel, M - first);
    const part = { ...options, a: rowsOf(a, first, rows, transposeA), out: rowsOf(out, first, rows) };
    plan.choose(key, forms, (form, plan) => multiply(plan, form, { M: rows, N, K, am, ak, bk, bn }, part));
  }
}

/** Some rows of a matrix or of its transpose. */
function rowsOf(x: Tensor, first: number, count: number, transpose = false): Tensor {
  const [rows, columns] = x.shape;
  if (count === (transpose ? columns : rows)) return x;
  const shape = transpose ? [rows, count] : [count, columns];
  if (x.keptRows)
    return { ...x, shape, keptRows: { ...x.keptRows, offset: x.keptRows.offset + 4 * first, bytes: 4 * count } };
  const offset = x.offset + 4 * first * (transpose ? 1 : x.strides[0]);
  const width = x.keptColumns ? x.strides[0] : shape[1]; // selected columns may be anywhere in the host's row
  return { ...x, shape, offset, bytes: 4 * ((shape[0] - 1) * x.strides[0] + width) };
}

interface Sizes {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Strides of op(a) and op(b) by their rows and columns. */
  readonly am: number;
  readonly ak: number;
  readonly bk: number;
  readonly bn: number;
}

function multiply(plan: Plan, form: Form, sizes: Sizes, options: MatmulIntoOptions): void {
  const { M, N, K, am, ak, bk, bn } = sizes;
  const { scale = 1, accumulate = false } = options;
  const [[a, a0], [b, b0], [out, c0]] = [options.a, options.b, options.out].map(bound);
  const opB = options.transposeB ? transposeView(b) : b;
  const gathered = { kept_k: opB.keptRows, kept_n: opB.keptColumns };
  const rows = tileRows(form, M);
  const columns = Math.max(subgroupKernel.consts.COLUMNS.value, plan.device.subgroupSize);
  const alongK = ak === 1 && bk === 1;
  const tiles = countTiles(form, M, N, rows, (alongK ? 4 : 8) * columns);
  const wanted = form.name === 'plain' ? 1 : splitsFor(plan.device.software, tiles, K, leastSteps);
  const steps = Math.ceil(K / wanted / 16) * 16;
  const splits = Math.ceil(K / steps);

  const partials = splits > 1 ? transient(plan, 'matmul.partials', [splits, M, N]) : undefined;
  const whole = {
    ...sizes,
    ldc: out.strides[0],
    a0,
    b0,
    c0,
    splits,
    steps,
    accumulate: Number(accumulate),
    scale,
    rows,
  };
  const params = partials ? { ...whole, ldc: N, c0: 0, accumulate: 0, scale: 1 } : whole;
  const c = partials ?? out;
  const kept = { ...gathered, ...lists(c) };
  const inPlace = !opB.keptRows && !opB.keptColumns;
  const common = { workgroups: tiles * splits, macs: M * N * K, bytes: 4 * (M * K + K * N + M * N) };
  if (form.share) {
    const consts = { ROWS: rows, SHARE: form.share, COLUMNS: columns };
    const subgroup = { ...common, params, consts };
    if (alongK && !opB.keptRows && [am, bn, a0, b0].every((at) => at % 4 === 0))
      plan.dispatch(subgroupKernel, 'forward_along_k4', { ...subgroup, bindings: { a4: a, b4: b, c, ...kept } });
    else if (alongK) plan.dispatch(subgroupKernel, 'forward_along_k', { ...subgroup, bindings: { a, b, c, ...kept } });
    else if (inPlace && bn === 1 && bk % 4 === 0 && b0 % 4 === 0)
      plan.dispatch(subgroupKernel, 'forward_along_n', { ...subgroup, bindings: { a, b4: b, c, ...lists(c) } });
    else plan.dispatch(subgroupKernel, 'forward_any', { ...subgroup, bindings: { a, b, c, ...kept } });
  } else {
    const entry = form.name === 'plain' ? 'forward' : form.side ? 'forward_shared' : 'forward_register';
    plan.dispatch(kernel, entry, { ...common, params, bindings: { a, b, c, ...kept }, consts: sharedConsts(form) });
  }
  if (!partials) return;
  plan.dispatch(kernel, 'forward_sum', {
    params: whole,
    bindings: { partials, c: out, ...lists(out) },
    workgroups: Math.ceil((M * N) / kernel.consts.THREADS.value),
    bytes: 4 * M * N * (splits + 1),
  });
}

function checkView({ label, shape, strides, offset }: Tensor): void {
  if (shape.length !== 2 || shape[0] * shape[1] === 0)
    throw new ShapeError(`matmul: expected nonempty matrices, got ${shapeText(shape)} of ${label}`);
  if (strides[1] !== 1 || strides[0] < shape[1])
    throw new ShapeError(
      `matmul: expected rows of neighboring elements, got strides ${shapeText(strides)} of ${label}; copy it by contiguous()`,
    );
  if (offset % 4 !== 0)
    throw new ShapeError(`matmul: expected a view that starts on a multiple of 4 bytes, got ${offset} of ${label}`);
}

/** The binding of a view with any offset, and the index of its first element there. */
function bound(view: Tensor): readonly [Tensor, number] {
  const beyond = view.offset % offsetAlignment;
  return [{ ...view, offset: view.offset - beyond, bytes: view.bytes + beyond }, beyond / 4];
}

/** Shape and strides of a matrix or its transpose. */
function orient({ shape: [rows, columns], strides: [row, column] }: Tensor, transpose: boolean) {
  return transpose
    ? [
        [columns, rows],
        [column, row],
      ]
    : [
        [rows, columns],
        [row, column],
      ];
}

/** Constants of a tile in workgroup memory, 4 x 4 outputs a thread. */
export function sharedConsts({ side }: Form): { SIDE?: number; SQUARES?: number } {
  return side ? { SIDE: side, SQUARES: (side / 4) ** 2 } : {};
}

/** Workgroups for the tiles of an (M, N) product. */
function countTiles(form: Form, M: number, N: number, rows: number, columns: number): number {
  if (form.name === 'plain') return Math.ceil((M * N) / kernel.consts.THREADS.value);
  if (form.side) return Math.ceil(M / form.side) * Math.ceil(N / form.side);
  if (form.name === 'register') return Math.ceil(M / rows) * Math.ceil(N / (4 * kernel.consts.COLUMNS.value));
  return Math.ceil(M / rows) * Math.ceil(N / columns);
}
