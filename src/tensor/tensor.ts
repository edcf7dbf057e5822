// Tensors: views of a buffer or slot by shape, strides and offset; and the functions that make views of views. Nothing is copied.
import { expectArguments, expectTensors } from '../checks/arguments.js';
import { expectOneOf } from '../checks/one_of.js';
import { expectOptions, type Kinds } from '../checks/options.js';
import { textOf } from '../checks/text_of.js';
import { ShapeError } from '../errors.js';
import type { Binding, Integer, Slot } from './binding.js';
import { elementBytes, extent, isDense, viewText } from './footprint.js';
import type { SlotMemory } from './memory.js';

/** A strided view of a buffer or slot, f32 unless `half` or `integer`. `strides` count elements; `offset` and `bytes` are the binding's, in bytes. */
export interface Tensor extends Binding {
  readonly label: string;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** For a parameter: the same view of the gradient buffer. Kernels accumulate into it in place. */
  readonly grad?: Tensor;
  /** No gradient flows through it: see `detach`. */
  readonly detached?: true;
  /** For a slice by index lists: the position of each row (dimension 0) and column (1) in the host's tensor; see `selectView`. */
  readonly keptRows?: Binding;
  readonly keptColumns?: Binding;
}

/** The number of elements of a shape. */
export function numel(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1);
}

/** Row-major strides of a dense tensor, which has no gaps. */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/** The dtype of activations in memory. Everything else, and all arithmetic, is f32. */
export type Precision = (typeof precisions)[number];

const precisions = ['f32', 'f16'] as const;
const integers = ['i32', 'u32'] as const;

/** Bytes of an element. @throws ConfigError for an unknown dtype */
export function bytesOf(label: string, precision: Precision | Integer): 2 | 4 {
  expectOneOf(`${label}: precision`, precision, [...precisions, ...integers]);
  return elementBytes({ half: precision === 'f16' });
}

/** A tensor of integers: labels, indices. It has no gradient. */
export type IntegerTensor<I extends Integer = Integer> = Tensor & { readonly integer: I };

/** A contiguous tensor in a buffer or slot, from `offset` bytes on. */
export function tensor<I extends Integer>(
  storage: GPUBuffer | Slot,
  label: string,
  shape: readonly number[],
  offset: number,
  integer: I,
): IntegerTensor<I>;
export function tensor(
  storage: GPUBuffer | Slot,
  label: string,
  shape: readonly number[],
  offset?: number,
  precision?: Precision | Integer,
): Tensor;
export function tensor(
  storage: GPUBuffer | Slot,
  label: string,
  shape: readonly number[],
  offset = 0,
  precision: Precision | Integer = 'f32',
): Tensor {
  const bytes = numel(shape) * bytesOf(label, precision);
  const kind = { f32: {}, f16: { half: true }, i32: { integer: 'i32' }, u32: { integer: 'u32' } } as const;
  return { storage, label, shape, strides: denseStrides(shape), offset, bytes, ...kind[precision] };
}

/**
 * A contiguous, uninitialized tensor in a plan's transient memory.
 *
 * @throws ShapeError where a side is not a whole number of at least 1
 */
export function transient<I extends Integer>(
  plan: SlotMemory,
  label: string,
  shape: readonly number[],
  integer: I,
): IntegerTensor<I>;
export function transient(
  plan: SlotMemory,
  label: string,
  shape: readonly number[],
  precision?: Precision | Integer,
): Tensor;
export function transient(
  plan: SlotMemory,
  label: string,
  shape: readonly number[],
  precision: Precision | Integer = 'f32',
): Tensor {
  expectArguments(label, { plan });
  if (!isShape(shape))
    throw new ShapeError(`${label}: expected sides that are whole and at least 1, got ${shapeText(shape)}`);
  return tensor(plan.slot(label, numel(shape) * bytesOf(label, precision)), label, shape, 0, precision);
}

/**
 * The same elements under another shape. Nothing is copied.
 *
 * @throws ShapeError where x is not contiguous, or `shape` has another number of elements
 */
export function reshapeView(x: Tensor, shape: readonly number[]): Tensor {
  expectTensors('reshapeView', { x });
  if (!isShape(shape) || numel(shape) !== numel(x.shape))
    throw new ShapeError(`reshapeView: expected ${numel(x.shape)} elements, got ${shapeText(shape)}`);
  if (!isDense(x))
    throw new ShapeError(`reshapeView: expected a dense tensor, got a view ${viewText(x)}; copy it by contiguous()`);
  return { ...x, shape, strides: denseStrides(shape), ...(x.grad && { grad: reshapeView(x.grad, shape) }) };
}

/**
 * The leading block `shape` of a tensor: the slice that a slim encoder uses. Nothing is copied; strides are kept, and index lists are
 * truncated.
 *
 * @throws ShapeError where `shape` is not a block of x
 */
export function sliceView(x: Tensor, shape: readonly number[]): Tensor {
  expectTensors('sliceView', { x });
  if (!isShape(shape) || shape.length !== x.shape.length || !shape.every((side, i) => side <= x.shape[i]))
    throw new ShapeError(
      `sliceView: expected a leading block of ${x.label} ${shapeText(x.shape)}, got ${shapeText(shape)}`,
    );
  const { keptRows, keptColumns, grad } = x;
  return {
    ...x,
    shape,
    bytes: keptRows || keptColumns ? x.bytes : extent(shape, x.strides) * elementBytes(x),
    ...(keptRows && { keptRows: { ...keptRows, bytes: 4 * shape[0] } }),
    ...(keptColumns && { keptColumns: { ...keptColumns, bytes: 4 * shape[1] } }),
    ...(grad && { grad: sliceView(grad, shape) }),
  };
}

/** Index lists of a tensor's first two dimensions: u32 indices, one per row or column. Default: the leading ones. */
export interface Selection {
  readonly rows?: Binding | undefined;
  readonly columns?: Binding | undefined;
}

const listKinds: Kinds<Selection> = { rows: 'object', columns: 'object' };

/**
 * The rows and columns of a tensor in the given lists: the slice `shape` that a slim encoder uses. Nothing is copied; kernels
 * look the indices up.
 *
 * @throws ShapeError where `shape` does not fit x, a list does not fit `shape`, or x already has a list for that dimension
 */
export function selectView(x: Tensor, shape: readonly number[], lists: Selection): Tensor {
  expectTensors('selectView', { x });
  const { rows, columns } = expectOptions('selectView', lists, listKinds);
  if (!isShape(shape)) throw new ShapeError(`selectView: expected a block of ${x.label}, got ${shapeText(shape)}`);
  [rows, columns].forEach((list, d) => {
    if (list && list.bytes !== 4 * shape[d])
      throw new ShapeError(`selectView: expected a list of ${shape[d]} for ${x.label}, got one of ${list.bytes / 4}`);
  });
  if ((rows && x.keptRows) || (columns && x.keptColumns))
    throw new ShapeError(
      `selectView: expected ${x.label} without an index list there, got ${viewText(x)}; select from the whole tensor`,
    );
  const { bytes, grad, ...view } = sliceView(x, shape);
  return {
    ...view,
    bytes: rows || columns ? x.bytes : bytes,
    ...(grad && { grad: selectView(x.grad as Tensor, shape, { rows, columns }) }),
    ...(rows && { keptRows: rows }),
    ...(columns && { keptColumns: columns }),
  };
}

/** The same elements with the first two dimensions swapped. */
export function transposeView({ shape, strides, grad, keptRows, keptColumns, ...rest }: Tensor): Tensor {
  if (shape.length < 2)
    throw new ShapeError(`transposeView: expected ${rest.label} of two dimensions or more, got ${shapeText(shape)}`);
  const turned = ([rows, columns, ...kernel]: readonly number[]) => [columns, rows, ...kernel];
  return {
    ...rest,
    shape: turned(shape),
    strides: turned(strides),
    ...(grad && { grad: transposeView(grad) }),
    ...(keptColumns && { keptRows: keptColumns }),
    ...(keptRows && { keptColumns: keptRows }),
  };
}

/** `count` columns of a matrix, from column `first` on. Nothing is copied; strides are kept. */
export function narrowView(x: Tensor, first: number, count: number): Tensor {
  expectTensors('narrowView', { x });
  const { shape, strides, keptRows, keptColumns, grad } = x;
  const [rows, all] = shape;
  if (shape.length !== 2 || !isSide(count) || !(Number.isInteger(first) && first >= 0 && first + count <= all))
    throw new ShapeError(
      `narrowView: expected columns of ${x.label} ${shapeText(shape)}, got ${count} from ${first} on`,
    );
  const begin = keptColumns ? 0 : first * strides[1] * elementBytes(x);
  return {
    ...x,
    shape: [rows, count],
    offset: x.offset + begin,
    bytes: keptRows || keptColumns ? x.bytes - begin : extent([rows, count], strides) * elementBytes(x),
    ...(keptColumns && {
      keptColumns: { ...keptColumns, offset: keptColumns.offset + 4 * first, bytes: 4 * count },
    }),
    ...(grad && { grad: narrowView(grad, first, count) }),
  };
}

const isSide = (side: unknown) => Number.isInteger(side) && (side as number) >= 1;
const isShape = (shape: unknown) => Array.isArray(shape) && shape.every(isSide);

/** `(8, 3, 32, 32)`, as error messages show shapes. */
export function shapeText(shape: readonly number[]): string {
  return Array.isArray(shape) ? `(${shape.map(textOf).join(', ')})` : textOf(shape);
}

/** The matrix (O, I) of a 1x1 kernel (O, I, 1, 1), strides kept. */
export function squeezeKernel(weight: Tensor): Tensor {
  const grad = weight.grad && squeezeKernel(weight.grad);
  return { ...weight, shape: weight.shape.slice(0, 2), strides: weight.strides.slice(0, 2), ...(grad && { grad }) };
}
