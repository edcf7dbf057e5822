// The layout of many tensors in one buffer, and the positions of a slice's elements in it.
import { ValidationError } from '../errors.js';
import { bindingAlignment } from '../tensor/binding.js';
import { denseStrides, numel, shapeText } from '../tensor/tensor.js';

/** A tensor's range in its buffer: offset and length in floats. */
export interface Place {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
}

/** In floats: tensors begin at multiples of this, so that each can be bound. */
export const placeAlignment = bindingAlignment / 4;

/** Lays out tensors one after another; also returns the total in floats, including padding. */
export function layOut(tensors: readonly { name: string; shape: readonly number[] }[]): {
  places: Map<string, Place>;
  size: number;
} {
  const places = new Map<string, Place>();
  let size = 0;
  for (const { name, shape } of tensors) {
    if (places.has(name)) throw new ValidationError(`parameters: two tensors are named "${name}"`);
    if (!shape.every((side) => Number.isInteger(side) && side >= 1))
      throw new ValidationError(
        `parameters: expected sides of "${name}" that are whole and at least 1, got ${shapeText(shape)}`,
      );
    const length = numel(shape);
    places.set(name, { name, shape, offset: size, length });
    size += Math.ceil(length / placeAlignment) * placeAlignment;
  }
  return { places, size: Math.max(size, placeAlignment) };
}

export type Indices = ArrayLike<number>;

/** The positions of a slice's elements in a contiguous tensor, given the selected indices of each dimension. */
export function placesOf({ offset, shape }: Place, sides: readonly Indices[]): Uint32Array {
  const strides = denseStrides(shape);
  let at = Uint32Array.of(offset);
  sides.forEach((side, d) => {
    const wider = new Uint32Array(at.length * side.length);
    for (let i = 0; i < wider.length; i++)
      wider[i] = at[Math.floor(i / side.length)] + side[i % side.length] * strides[d];
    at = wider;
  });
  return at;
}
