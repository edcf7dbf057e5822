// Tensors in buffers of their own: made, written and read as numbers; and views of them.

import { expectOptions, type Kinds } from '../checks/options.js';
import { ConfigError, ShapeError, ValidationError } from '../errors.js';
import { type Binding, bufferOf, type Integer } from './binding.js';
import { toHalf } from './float16.js';
import { elementBytes, isDense, viewText } from './footprint.js';
import type { TensorMemory } from './memory.js';
import { type Numbers, readNumbers } from './read_numbers.js';
import {
  bytesOf,
  numel,
  type Precision,
  reshapeView,
  shapeText,
  sliceView,
  type Tensor,
  tensor,
  transposeView,
} from './tensor.js';

/** Values for a tensor: one for all elements, one per element in order, or a function of the element's index. */
export type Values = number | ArrayLike<number> | ((element: number) => number);

export interface TensorOptions {
  /** Its name in error messages. */
  label?: string;
  /** Default 'f32'; 'i32' or 'u32' for labels and indices; 'f16' requires an adapter with shader-f16. */
  dtype?: Precision | Integer;
}

const tensorOptions: Kinds<TensorOptions> = { label: 'string', dtype: 'string' };

/**
 * A tensor in a buffer of the device, dense or a view. `device.tensor` makes one.
 *
 * Its memory is freed by `dispose()`, or with the device.
 */
export class DeviceTensor<Gradient extends Tensor | undefined = undefined> implements Tensor {
  declare readonly storage: GPUBuffer;
  declare readonly label: string;
  declare readonly shape: readonly number[];
  declare readonly strides: readonly number[];
  declare readonly offset: number;
  declare readonly bytes: number;
  declare readonly half?: boolean;
  declare readonly integer?: Integer;
  /** Of a parameter: the same view of its gradient. */
  declare readonly grad: Gradient;
  declare readonly keptRows?: Binding;
  declare readonly keptColumns?: Binding;
  readonly #device: TensorMemory;

  constructor(device: TensorMemory, view: Tensor) {
    const { grad, ...rest } = view;
    Object.assign(this, rest, grad && { grad: new DeviceTensor(device, grad) });
    this.#device = device;
  }

  /** A dense tensor of these numbers in a buffer of its own. */
  static make(device: TensorMemory, shape: readonly number[], values: Values, options: TensorOptions): DeviceTensor {
    const { label = 'tensor', dtype = 'f32' } = expectOptions('tensor', options, tensorOptions);
    if (!Array.isArray(shape) || !shape.every((side) => Number.isInteger(side) && side >= 1))
      throw new ShapeError(
        `${label}: expected a shape of sides that are whole and at least 1, got ${Array.isArray(shape) ? shapeText(shape) : shape}`,
      );
    const size = bytesOf(label, dtype);
    const integer = dtype === 'i32' || dtype === 'u32' ? dtype : undefined;
    const numbers = values === 0 ? undefined : numbersOf(label, shape, values, integer);
    const made = new DeviceTensor(
      device,
      tensor(device.tensorBuffer(label, numel(shape), size), label, shape, 0, dtype),
    );
    if (numbers) made.#put(numbers, 0);
    return made;
  }

  /** Its values, after all work submitted so far, in row-major order. */
  async read(): Promise<Numbers<this>> {
    return readNumbers(this.#device, this, (range) => ({ buffer: bufferOf(range), offset: range.offset }));
  }

  /**
   * Writes its values, after all work submitted so far.
   *
   * @throws ShapeError for another number of values than elements; ConfigError for a value that is not a number; ValidationError for a
   * view by index lists, or an f16 view whose rows do not begin at whole words
   */
  write(values: Values): void {
    const { shape, strides, label } = this;
    const numbers = numbersOf(label, shape, values, this.integer);
    if (this.keptRows || this.keptColumns)
      throw new ValidationError(`write: expected a tensor without index lists, got ${viewText(this)}; write the whole`);
    const dense = isDense(this);
    const inner = dense ? numbers.length : shape[shape.length - 1];
    if (!dense && strides[shape.length - 1] !== 1)
      throw new ValidationError(
        `write: expected contiguous rows, got ${viewText(this)}; write the tensor that ${label} is a view of`,
      );
    for (let first = 0; first < numbers.length; first += inner) {
      let rest = first;
      let at = 0;
      for (let d = shape.length - 1; d >= 0; d--) {
        at += (rest % shape[d]) * strides[d];
        rest = Math.floor(rest / shape[d]);
      }
      this.#put(numbers.subarray(first, first + inner), at);
    }
  }

  /** Writes contiguous values from an element on. */
  #put(numbers: NumberArray, at: number): void {
    const data = this.half ? toHalf(Float32Array.from(numbers)) : numbers;
    const isWhole = this.#device.elementsOf(this.storage) === numbers.length;
    this.#device.write(this, isWhole ? toWords(data) : data, at * elementBytes(this));
  }

  /** The leading block `shape`, as a slim encoder uses it: the same memory, and for a parameter the same gradient memory. */
  slice(shape: readonly number[]): DeviceTensor<Gradient> {
    return new DeviceTensor(this.#device, sliceView(this, shape));
  }

  /** The same memory under another shape with as many elements. */
  reshape(shape: readonly number[]): DeviceTensor<Gradient> {
    return new DeviceTensor(this.#device, reshapeView(this, shape));
  }

  /** The same memory with the first two dimensions swapped, for ops that read strides. */
  transpose(): DeviceTensor<Gradient> {
    return new DeviceTensor(this.#device, transposeView(this));
  }

  /** Frees its memory and its gradient's; views of them become invalid. */
  dispose(): void {
    this.#device.release([this, ...(this.grad ? [this.grad] : [])]);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A trained tensor, or a view of one: its gradient is the same view of the gradient buffer. */
export type DeviceParameter = DeviceTensor<DeviceTensor>;

/** A tensor of whole numbers: labels, indices. No gradient reaches it. */
export type DeviceIntegers<I extends Integer = Integer> = DeviceTensor & { readonly integer: I };

type NumberArray = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/** The same, padded to a multiple of 4 bytes. */
function toWords(data: NumberArray | Uint16Array<ArrayBuffer>): typeof data {
  if (data.byteLength % 4 === 0) return data;
  const words = new Uint16Array(data.length + 1);
  words.set(data);
  return words;
}

/** The values as a typed array, checked against shape and dtype. */
function numbersOf(label: string, shape: readonly number[], values: Values, integer: Integer | undefined): NumberArray {
  const count = numel(shape);
  const given = typeof values === 'number' || typeof values === 'function' ? undefined : values;
  if (given !== undefined && (typeof given !== 'object' || given === null || typeof given.length !== 'number'))
    throw new ConfigError(`${label}: expected a number, an array of numbers or a function, got ${given}`);
  if (given && given.length !== count)
    throw new ShapeError(`${label}: expected ${count} numbers for ${shapeText(shape)}, got ${given.length}`);
  const at = given ? (i: number) => given[i] : typeof values === 'function' ? values : () => values as number;
  const [least, most] = integer === 'i32' ? [-(2 ** 31), 2 ** 31 - 1] : [0, 2 ** 32 - 1];
  const numbers = new { i32: Int32Array, u32: Uint32Array, f32: Float32Array }[integer ?? 'f32'](count);
  for (let i = 0; i < count; i++) {
    const value: unknown = at(i);
    if (typeof value !== 'number') throw new ConfigError(`${label}: expected numbers, got ${value} at ${i}`);
    if (integer && !(Number.isInteger(value) && value >= least && value <= most))
      throw new ConfigError(`${label}: expected whole numbers from ${least} to ${most}, got ${value} at ${i}`);
    numbers[i] = value;
  }
  return numbers;
}
