// The memory layout of a view's elements, and its checks: strides, extent, range, type.
import { ShapeError, ValidationError } from '../errors.js';
import { type Binding, isBuffer } from './binding.js';

/** A binding that describes the layout of its elements. Strides count elements; an index list replaces the position along its dimension. */
export interface Shaped extends Binding {
  readonly label: string;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly keptRows?: Binding;
  readonly keptColumns?: Binding;
}

/** Whether a binding is a tensor, not a plain range of memory. */
export function isShaped(binding: Binding): binding is Shaped {
  return 'shape' in binding && 'strides' in binding;
}

/** Bytes of an element. */
export function elementBytes({ half }: Pick<Binding, 'half'>): 2 | 4 {
  return half ? 2 : 4;
}

/** Whether elements are in row-major order without gaps; the stride of a dimension of size 1 is ignored. */
export function isDense({ shape, strides, keptRows, keptColumns }: Omit<Shaped, keyof Binding | 'label'>): boolean {
  return !keptRows && !keptColumns && strides.length === shape.length && packedFrom(0, shape, strides);
}

function packedFrom(first: number, shape: readonly number[], strides: readonly number[]): boolean {
  let stride = 1;
  for (let d = shape.length - 1; d >= first; d--) {
    if (shape[d] !== 1 && strides[d] !== stride) return false;
    stride *= shape[d];
  }
  return true;
}

/** The span of a view in elements, from its first to its last, ignoring index lists. */
export function extent(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((last, side, d) => last + (side - 1) * strides[d], 1);
}

/** A view in words: `x (4, 3) with strides (6, 1)`. */
export function viewText({ label, shape, strides, keptRows, keptColumns }: Shaped): string {
  const lists = keptRows || keptColumns ? ' and index lists' : '';
  return `${label} (${shape.join(', ')}) with strides (${strides.join(', ')})${lists}`;
}

/**
 * Checks that a kernel can read a tensor: dense, unless the kernel declares it `Strided`. Such a kernel finds rows and columns
 * by strides or by index lists, which must be bound too; the dimensions after the second are contiguous.
 *
 * @param where the entry point and the binding's name
 * @param lists the index lists that the same dispatch binds
 */
export function checkLayout(where: string, x: Binding, strided: boolean, lists: readonly Binding[]): void {
  if (!isShaped(x)) return;
  const { shape, strides } = x;
  checkExtent(where, x);
  if (!strided && !isDense(x))
    throw new ShapeError(`${where}: expected a dense tensor, got a view ${viewText(x)}; copy it by contiguous()`);
  if (!packedFrom(shape.length < 2 ? 0 : 2, shape, strides))
    throw new ShapeError(
      `${where}: expected a tensor strided only in its rows and columns, got a view ${viewText(x)}; copy it by contiguous()`,
    );
  for (const list of [x.keptRows, x.keptColumns])
    if (list && !lists.some(({ storage, offset }) => storage === list.storage && offset === list.offset))
      throw new ShapeError(
        `${where}: expected a tensor without index lists, got ${viewText(x)}; copy it by contiguous()`,
      );
}

/** Checks that a typed array matches the tensor's element type; raw bytes are always accepted. */
export function checkKind(memory: Binding, data: ArrayBufferView | ArrayBuffer): void {
  const { half, integer } = memory;
  const Own = half ? Uint16Array : { f32: Float32Array, i32: Int32Array, u32: Uint32Array }[integer ?? 'f32'];
  const isBytes = data instanceof ArrayBuffer || data instanceof DataView || data instanceof Uint8Array;
  if (!isShaped(memory) || isBytes || data instanceof Own) return;
  throw new ValidationError(
    `${memory.label}: expected a ${Own.name} to write, got a ${data.constructor.name}; tensor.write(values) takes any numbers`,
  );
}

/** Checks that a view has one stride per dimension, and that its memory covers its last element. */
export function checkExtent(where: string, x: Shaped): void {
  const { label, shape, strides, bytes } = x;
  const whole = [...shape, ...strides].every((n) => Number.isInteger(n) && n >= 0) && shape.every((side) => side > 0);
  if (!whole || shape.length !== strides.length)
    throw new ShapeError(`${where}: expected sides of at least 1 and a stride each, got ${viewText(x)}`);
  const needed = extent(shape, strides) * elementBytes(x);
  if (needed > bytes)
    throw new ShapeError(
      `${where}: expected ${needed} bytes for ${label} (${shape.join(', ')}), got a binding of ${bytes}; ` +
        'give it memory of its size',
    );
}

/** Checks that a range is within its buffer or slot. */
export function checkRange(where: string, { storage, offset, bytes }: Binding): void {
  const size = isBuffer(storage) ? storage.size : storage.bytes;
  if (!(Number.isInteger(offset) && offset >= 0 && bytes > 0 && offset + Math.ceil(bytes / 4) * 4 <= size))
    throw new ValidationError(
      `${where}: expected a range within the ${size} bytes of "${storage.label}", got ${bytes} bytes from ${offset} on`,
    );
}
