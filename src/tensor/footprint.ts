// What a dispatch may bind: memory that is there, whole, and read as it lies. Knows of a tensor its shape and strides alone.
import { ShapeError, ValidationError } from '../errors.js';
import { overlap } from '../runtime/accesses.js';
import type { Device } from '../runtime/device.js';
import type { Buffers, Elements } from '../runtime/kernel.js';
import { type Binding, isBuffer } from './binding.js';

/** A binding that says how its elements lie. Strides count elements; a keep-list stands in for the stride's own count. */
export interface Shaped extends Binding {
  readonly label: string;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly keptRows?: Binding;
  readonly keptColumns?: Binding;
}

/** Whether a binding is a tensor, and not a mere range of memory. */
export function isShaped(binding: Binding): binding is Shaped {
  return 'shape' in binding && 'strides' in binding;
}

/** Bytes of an element. */
export function elementBytes({ half }: Pick<Binding, 'half'>): 2 | 4 {
  return half ? 2 : 4;
}

/** Whether elements lie row by row without a gap; where a side of 1 would go on is all the same. */
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

/** Elements from the first to the last of a view, both included, keep-lists aside. */
export function extent(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((last, side, d) => last + (side - 1) * strides[d], 1);
}

/** A view in words: `x (4, 3) with strides (6, 1)`. */
export function viewText({ label, shape, strides, keptRows, keptColumns }: Shaped): string {
  const lists = keptRows || keptColumns ? ' and keep-lists' : '';
  return `${label} (${shape.join(', ')}) with strides (${strides.join(', ')})${lists}`;
}

/**
 * Sees that a tensor can be read as a binding is: densely, unless its kernel declares it `Strided`. Such a kernel finds rows and
 * columns by strides or by keep-lists, which then have to be bound too; what a row or column is made of lies together.
 *
 * @param where the entry point and the binding's name
 * @param lists the keep-lists that the same dispatch binds
 */
export function checkLayout(where: string, x: Binding, strided: boolean, lists: readonly Binding[]): void {
  if (!isShaped(x)) return;
  const { shape, strides } = x;
  checkExtent(where, x);
  if (!strided && !isDense(x))
    throw new ShapeError(`${where}: expected a dense tensor, got a view ${viewText(x)}; copy it by contiguous()`);
  if (!packedFrom(shape.length < 2 ? 0 : 2, shape, strides))
    throw new ShapeError(
      `${where}: expected a tensor whose rows and columns alone lie apart, got a view ${viewText(x)}; copy it by contiguous()`,
    );
  for (const list of [x.keptRows, x.keptColumns])
    if (list && !lists.some(({ storage, offset }) => storage === list.storage && offset === list.offset))
      throw new ShapeError(
        `${where}: expected a tensor without keep-lists, got ${viewText(x)}; copy it by contiguous()`,
      );
}

/** Sees that a tensor's numbers are what a kernel takes them for: bits of a whole number are no f32's, and the other way round. */
function checkElements(where: string, x: Binding, elements: Elements | undefined): void {
  const { integer, half } = x;
  if (!isShaped(x) || !elements || (integer ?? 'f32') === elements) return;
  throw new ShapeError(
    `${where}: expected a tensor of ${elements}, got ${integer ?? (half ? 'f16' : 'f32')} ${x.label} (${x.shape.join(', ')}); ` +
      `make it by device.tensor(shape, values, { dtype: '${elements}' })`,
  );
}

/** Sees that an array's numbers are stored as a tensor's are; bytes may be anybody's. */
export function checkKind(memory: Binding, data: ArrayBufferView | ArrayBuffer): void {
  const { half, integer } = memory;
  const Own = half ? Uint16Array : { f32: Float32Array, i32: Int32Array, u32: Uint32Array }[integer ?? 'f32'];
  const isBytes = data instanceof ArrayBuffer || data instanceof DataView || data instanceof Uint8Array;
  if (!isShaped(memory) || isBytes || data instanceof Own) return;
  throw new ValidationError(
    `${memory.label}: expected a ${Own.name} to write, got a ${data.constructor.name}; tensor.write(values) takes any numbers`,
  );
}

/** Sees that a view has a stride a side, and that its memory reaches to its last element. */
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

/** Sees that a range lies within its buffer or slot. */
export function checkRange(where: string, { storage, offset, bytes }: Binding): void {
  const size = isBuffer(storage) ? storage.size : storage.bytes;
  if (!(Number.isInteger(offset) && offset >= 0 && bytes > 0 && offset + Math.ceil(bytes / 4) * 4 <= size))
    throw new ValidationError(
      `${where}: expected a range within the ${size} bytes of "${storage.label}", got ${bytes} bytes from ${offset} on`,
    );
}

/** Refuses a dispatch that would compute another result than asked for, or none. */
export function checkUses(
  device: Device,
  label: string,
  declared: Buffers,
  bindings: ReadonlyMap<string, Binding>,
): void {
  const boundary = device.limits.minStorageBufferOffsetAlignment;
  const lists = [...bindings].filter(([name]) => declared[name].kept).map(([, binding]) => binding);
  for (const [name, binding] of bindings) {
    const where = `${label}: ${name}`;
    checkElements(where, binding, declared[name].elements);
    checkLayout(where, binding, declared[name].strided === true, lists);
    checkRange(where, binding);
    device.check(where, binding.bytes);
    if (binding.offset % boundary !== 0)
      throw new ValidationError(
        `${label}: expected "${name}" to begin at a multiple of ${boundary} bytes, got ${binding.offset}; ` +
          'give it a buffer or a slot of its own',
      );
  }
  checkAliases(label, declared, bindings);
}

/**
 * Sees that a dispatch writes to nothing that it binds a second time: WebGPU takes a buffer either for reading or for writing,
 * and lets two written ranges of one lie apart only.
 */
function checkAliases(label: string, declared: Buffers, bindings: ReadonlyMap<string, Binding>): void {
  const known = new Map<Binding['storage'], [name: string, binding: Binding][]>();
  for (const [name, binding] of bindings) {
    const others = known.get(binding.storage) ?? [];
    const written = declared[name].type === 'storage';
    for (const [other, range] of others) {
      const alsoWritten = declared[other].type === 'storage';
      if (written === alsoWritten && (!written || !overlap(binding, range))) continue;
      throw new ValidationError(
        `${label}: expected "${other}" and "${name}" in memory of their own, for one of them is written, ` +
          `got "${binding.storage.label}" for both; write to another tensor`,
      );
    }
    known.set(binding.storage, [...others, [name, binding]]);
  }
}
