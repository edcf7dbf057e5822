// Checks that a set of tensors has the expected names, shapes and types, all together, before any of them is used.

import { textOf } from '../checks/text_of.js';
import { DataError } from '../errors.js';
import { numel } from '../tensor/tensor.js';

/** Tensors on the CPU, by the names they are saved under. */
export type Tensors = Map<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** Two numbers of 24 bits that tell tensors from others by their bits (FNV-1a, in two halves), exact in f32. */
export function digestOf(tensors: Tensors): readonly [number, number] {
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (const { data } of tensors.values())
    for (const word of new Uint32Array(data.buffer, data.byteOffset, data.length)) {
      a = Math.imul(a ^ word, 0x01000193);
      b = Math.imul(b ^ word, 0x85ebca6b) ^ (b >>> 15);
    }
  return [a >>> 8, b >>> 8];
}

/** A tensor's type, as safetensors names it, and its shape. */
interface Kind {
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** A tensor that was found, with its values. */
interface Found extends Kind {
  readonly data: ArrayLike<unknown>;
}

/** The problems of the tensors that were found: missing, extra, or of another shape, type or length. */
function misfits(found: ReadonlyMap<string, Found>, expected: ReadonlyMap<string, Kind>): string[] {
  const kind = ({ dtype, shape }: Kind) => `${dtype} (${shape.join(', ')})`;
  const wrong: string[] = [];
  for (const [name, want] of expected) {
    const got = found.get(name);
    if (!got) wrong.push(`${name} is missing`);
    else if (kind(got) !== kind(want)) wrong.push(`${name} is ${kind(got)}, expected ${kind(want)}`);
    else if (got.data.length !== numel(want.shape)) wrong.push(`${name} ${kind(got)} has ${got.data.length} values`);
  }
  for (const name of found.keys()) if (!expected.has(name)) wrong.push(`${name} is not expected`);
  return wrong;
}

function refuse(what: string, wrong: readonly string[]): void {
  if (wrong.length > 0) throw new DataError(`${what}: its tensors do not fit: ${wrong.join('; ')}`);
}

/**
 * Throws a DataError that lists every tensor that is missing, extra, or of another shape, type or length than `expected`.
 * This refuses a checkpoint before any of it is loaded.
 */
export function checkTensors(
  found: ReadonlyMap<string, Found>,
  expected: ReadonlyMap<string, Kind>,
  file: string,
): void {
  refuse(file, misfits(found, expected));
}

/** The same for tensors on the CPU, all f32, by their shapes. */
export function checkState(state: Tensors, shapes: ReadonlyMap<string, readonly number[]>, file: string): void {
  refuse(file, misfitsOfState(expectState(state, file), shapes));
}

/** The same, and NaN and infinity are refused too. */
export function checkFiniteState(state: Tensors, shapes: ReadonlyMap<string, readonly number[]>, file: string): void {
  const wrong = misfitsOfState(expectState(state, file), shapes);
  for (const [name, { data }] of state)
    if (data instanceof Float32Array && !data.every(Number.isFinite)) wrong.push(`${name} holds a NaN or infinity`);
  refuse(file, wrong);
}

/** @throws DataError, in the file's name, where something else is given as tensors by name */
function expectState(state: Tensors, file: string): Tensors {
  if (!((state as unknown) instanceof Map))
    throw new DataError(`${file}: expected a Map of tensors by name, as state() gives one, got ${textOf(state)}`);
  for (const [name, tensor] of state) {
    if (typeof (name as unknown) !== 'string')
      throw new DataError(`${file}: expected tensors by names that are strings, got ${textOf(name)}`);
    if (!Array.isArray(tensor?.shape) || typeof Object(tensor.data).length !== 'number')
      throw new DataError(`${file}: expected ${name} to be { shape, data }, got ${textOf(tensor)}`);
  }
  return state;
}

function misfitsOfState(state: Tensors, shapes: ReadonlyMap<string, readonly number[]>): string[] {
  const found = [...state].map(([name, { shape, data }]) => {
    const dtype = (data as unknown) instanceof Float32Array ? 'F32' : textOf(data);
    return [name, { dtype, shape, data }] as const; // other arrays would be reinterpreted bitwise as floats
  });
  return misfits(new Map(found), new Map([...shapes].map(([name, shape]) => [name, { dtype: 'F32', shape }])));
}
