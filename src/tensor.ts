import { ShapeError } from './errors.js';
import type { Binding, Slot } from './runtime/binding.js';
import type { Plan } from './runtime/plan.js';

/** A strided view of a buffer or slot, f32 unless `half`. `strides` count elements; `offset` and `bytes` are the binding's, in bytes. */
export interface Tensor extends Binding {
  readonly label: string;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** For a parameter: the same view of the gradient buffer. Kernels accumulate into it in place. */
  readonly grad?: Tensor;
  /** For a slice by keep-lists: where each of its rows (dimension 0) and columns (1) lies in the host's tensor; see `keep`. */
  readonly keptRows?: Binding;
  readonly keptColumns?: Binding;
}

/** The number of elements of a shape. */
export function numel(shape: readonly number[]): number {
  return shape.reduce((product, side) => product * side, 1);
}

/** Row-major strides of a dense tensor, whose elements follow each other without gaps. */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/** How activations are kept in memory. All else is f32, and so is all arithmetic. */
export type Precision = 'f32' | 'f16';

/** A contiguous tensor in a buffer or slot, from `offset` bytes on. */
export function tensor(
  storage: GPUBuffer | Slot,
  label: string,
  shape: readonly number[],
  offset = 0,
  precision: Precision = 'f32',
): Tensor {
  const half = precision === 'f16';
  const bytes = numel(shape) * (half ? 2 : 4);
  return { storage, label, shape, strides: denseStrides(shape), offset, bytes, ...(half && { half }) };
}

/**
 * A contiguous, uninitialised tensor in a plan's transient memory.
 *
 * @throws ShapeError where a side is no whole number of at least 1
 */
export function transient(plan: Plan, label: string, shape: readonly number[], precision: Precision = 'f32'): Tensor {
  if (!shape.every(isSide))
    throw new ShapeError(`${label}: expected sides that are whole and at least 1, got ${shapeText(shape)}`);
  return tensor(plan.slot(label, numel(shape) * (precision === 'f16' ? 2 : 4)), label, shape, 0, precision);
}

/** The same elements under another shape; only for contiguous tensors. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  return { ...x, shape, strides: denseStrides(shape) };
}

/**
 * The leading block `shape` of a tensor: the slice that a slim encoder uses. Nothing is copied; strides stay.
 *
 * @throws ShapeError where `shape` is no block of x
 */
export function prefix(x: Tensor, shape: readonly number[]): Tensor {
  if (shape.length !== x.shape.length || !shape.every((side, i) => isSide(side) && side <= x.shape[i]))
    throw new ShapeError(
      `prefix: expected a leading block of ${x.label} ${shapeText(x.shape)}, got ${shapeText(shape)}`,
    );
  const bytes = (shape.reduce((last, side, i) => last + (side - 1) * x.strides[i], 0) + 1) * width(x);
  return { ...x, shape, bytes, grad: x.grad && prefix(x.grad, shape) };
}

/** Keep-lists of a tensor's first two dimensions: u32, one number a row or column. Where there is none, the leading ones are kept. */
export interface Lists {
  readonly rows?: Binding | undefined;
  readonly columns?: Binding | undefined;
}

/**
 * The rows and columns of a tensor that lists name: the slice of shape `shape` that a slim encoder uses. Nothing is copied; the
 * kernels look up where a row lies.
 *
 * @throws ShapeError where `shape` does not fit x, or a list does not fit `shape`
 */
export function keep(x: Tensor, shape: readonly number[], { rows, columns }: Lists): Tensor {
  [rows, columns].forEach((list, d) => {
    if (list && list.bytes !== 4 * shape[d])
      throw new ShapeError(`keep: expected a list of ${shape[d]} for ${x.label}, got one of ${list.bytes / 4}`);
  });
  const { bytes, grad, ...view } = prefix(x, shape);
  return {
    ...view,
    bytes: rows || columns ? x.bytes : bytes,
    ...(grad && { grad: keep(x.grad as Tensor, shape, { rows, columns }) }),
    ...(rows && { keptRows: rows }),
    ...(columns && { keptColumns: columns }),
  };
}

/** The same elements with the first two dimensions in each other's place. */
export function transposed({ shape, strides, grad, keptRows, keptColumns, ...rest }: Tensor): Tensor {
  const turned = ([rows, columns, ...kernel]: readonly number[]) => [columns, rows, ...kernel];
  return {
    ...rest,
    shape: turned(shape),
    strides: turned(strides),
    ...(grad && { grad: transposed(grad) }),
    ...(keptColumns && { keptRows: keptColumns }),
    ...(keptRows && { keptColumns: keptRows }),
  };
}

/** `count` columns of a matrix, from column `first` on. Nothing is copied; strides stay. */
export function columns(x: Tensor, first: number, count: number): Tensor {
  const [rows, all] = x.shape;
  if (x.shape.length !== 2 || !isSide(count) || !(Number.isInteger(first) && first >= 0 && first + count <= all))
    throw new ShapeError(
      `columns: expected columns of ${x.label} ${shapeText(x.shape)}, got ${count} from ${first} on`,
    );
  const bytes = ((rows - 1) * x.strides[0] + count) * width(x);
  const offset = x.offset + width(x) * first;
  return { ...x, shape: [rows, count], offset, bytes, ...(x.grad && { grad: columns(x.grad, first, count) }) };
}

/** Bytes of an element. */
const width = ({ half }: Tensor) => (half ? 2 : 4);

const isSide = (side: number) => Number.isInteger(side) && side >= 1;

/** `(8, 3, 32, 32)`, as error messages show shapes. */
export function shapeText(shape: readonly number[]): string {
  return `(${shape.join(', ')})`;
}

/** The matrix (O, I) of a 1x1 kernel (O, I, 1, 1), strides kept. */
export function matrix(weight: Tensor): Tensor {
  const grad = weight.grad && matrix(weight.grad);
  return { ...weight, shape: weight.shape.slice(0, 2), strides: weight.strides.slice(0, 2), ...(grad && { grad }) };
}
