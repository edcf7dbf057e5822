// A kernel as reflected from its WGSL: its buffers, uniforms and constants; packing, checks, specialization.
import { ValidationError } from '../errors.js';
import { declarations, moduleScope } from './wgsl.js';

export type Scalar = 'u32' | 'i32' | 'f32';
/** The element type of a buffer; for activations, f32 also stands for f16. */
export type Elements = Scalar;
type Fields = Readonly<Record<string, readonly [Scalar, number]>>;

/** A uniform struct: its size in bytes, and every field's type and byte offset. */
export interface Layout {
  readonly size: number;
  readonly fields: Fields;
}

/** A buffer of a kernel: its binding number and type. */
export interface Buffer {
  readonly binding: number;
  readonly type: 'uniform' | 'read-only-storage' | 'storage';
  /** Element type; undefined if there are several. */
  readonly elements?: Elements;
  /** Whether it holds activations: elements `Stored`, which are f16 if the bound memory is. */
  readonly stored?: boolean;
  /** Whether it may be a view with strides or index lists: elements `Strided`. All others must be dense. */
  readonly strided?: boolean;
  /** Whether it holds an index list, elements `Kept`, which is optional: see `listConsts`. */
  readonly kept?: boolean;
}

/** Buffers by their names. */
export type Buffers = Readonly<Record<string, Buffer>>;

/** What is reflected from WGSL: by the build from a kernel file (`src/generated`), by `kernel` from a user's code. */
export interface Kernel {
  /** Its name in labels and messages. */
  readonly stem: string;
  readonly code: string;
  readonly consts: Readonly<Record<string, { readonly type: Scalar | 'bool'; readonly value: number | boolean }>>;
  readonly params: Layout;
  readonly step: Layout;
  /** All buffers of its entry points, including uniforms. */
  readonly buffers: Buffers;
  /** For each entry point, the names of its buffers. */
  readonly entries: Readonly<Record<string, readonly string[]>>;
}

export type EntryName<K extends Kernel> = keyof K['entries'] & string;
export type Params<K extends Kernel> = { readonly [F in keyof K['params']['fields']]: number };
export type Consts<K extends Kernel> = { readonly [C in keyof K['consts']]?: Value<K['consts'][C]['type']> };
/** The JavaScript type of a constant. */
export type Value<Type> = Type extends 'bool' ? boolean : number;
/** The storage bindings of an entry point; `params` and `step` are bound by the plan. */
export type BindingName<K extends Kernel, E extends EntryName<K>> = Exclude<K['entries'][E][number], 'params' | 'step'>;

/** The optional ones: index lists, and buffers that may be index lists. */
export type ListName<K extends Kernel, E extends EntryName<K>> = {
  [B in BindingName<K, E>]: K['buffers'][B] extends { readonly kept: boolean } ? B : never;
}[BindingName<K, E>];

/**
 * The buffers that an entry point binds.
 *
 * @throws ValidationError where the kernel has no entry point of that name
 */
export function buffersOf({ stem, buffers, entries }: Kernel, entry: string): Buffers {
  if (Object.hasOwn(entries, entry)) return Object.fromEntries(entries[entry].map((name) => [name, buffers[name]]));
  throw new ValidationError(
    `${stem}: expected one of its entry points ${Object.keys(entries).join(', ')}, got ${entry}`,
  );
}

/** Writes scalars into a uniform struct's bytes, by the names and types of the shader. */
export function pack(layout: Layout, values: Readonly<Record<string, number>>, label: string): ArrayBuffer {
  const view = new DataView(new ArrayBuffer(layout.size));
  for (const [name, [type, offset]] of Object.entries(layout.fields)) {
    const value = values[name];
    const fits =
      type === 'f32'
        ? typeof value === 'number'
        : Number.isInteger(value) && value <= 0xffffffff && value >= (type === 'u32' ? 0 : -0x80000000);
    if (!fits) throw new ValidationError(`${label}: expected ${type} for "${name}", got ${value}`);
    if (type === 'f32') view.setFloat32(offset, value, true);
    else if (type === 'i32') view.setInt32(offset, value, true);
    else view.setUint32(offset, value, true);
  }
  return view.buffer;
}

/**
 * Checks that a dispatch binds what the entry point declares, and activations all in f32 or all in f16.
 *
 * @returns whether they are f16
 */
export function checkBindings(
  kernel: Kernel,
  entry: string,
  bindings: ReadonlyMap<string, { readonly half?: boolean }>,
): boolean {
  const label = `${kernel.stem}.${entry}`;
  const declared = buffersOf(kernel, entry);
  for (const name of Object.keys(declared))
    if (declared[name].type !== 'uniform' && !declared[name].kept && !bindings.has(name))
      throw new ValidationError(`${label}: missing binding "${name}"`);
  for (const name of bindings.keys())
    if (!Object.hasOwn(declared, name) || declared[name].type === 'uniform')
      throw new ValidationError(`${label}: unknown binding "${name}"`);
  const halves = [...bindings.keys()].filter((name) => bindings.get(name)?.half);
  const stored = [...bindings.keys()].filter((name) => declared[name].stored);
  for (const name of halves)
    if (!declared[name].stored)
      throw new ValidationError(`${label}: expected ${declared[name].elements ?? 'f32'} for "${name}", got f16`);
  if (halves.length > 0 && halves.length < stored.length)
    throw new ValidationError(
      `${label}: expected ${stored.join(', ')} all in f32 or all in f16, got f16 for ${halves}`,
    );
  return halves.length > 0;
}

/** For each bound index list, the constant with its name in capitals: with `KEPT_ROWS`, rows are looked up in `kept_rows`. */
export function listConsts(
  kernel: Kernel,
  entry: string,
  bindings: ReadonlyMap<string, unknown>,
): Readonly<Record<string, true>> {
  const lists = kernel.entries[entry].filter((name) => kernel.buffers[name].kept && bindings.has(name));
  return Object.fromEntries(lists.map((name) => [name.toUpperCase(), true as const]));
}

/** How one pipeline differs from the kernel's source. */
export interface Specialization {
  readonly consts: Readonly<Record<string, number | boolean | undefined>>;
  /** Whether activations are stored in f16. */
  readonly half: boolean;
}

/** The kernel's source with the values of some of its module-scope constants, and the type `Stored`, replaced. */
export function specialize(kernel: Kernel, { consts, half }: Specialization): string {
  const values = new Map<string, string>(
    half
      ? [
          ['Stored', 'f16'],
          ['Stored4', 'vec4h'],
        ]
      : [],
  );
  for (const [name, value] of Object.entries(consts)) {
    if (value === undefined) continue;
    const declared = Object.hasOwn(kernel.consts, name) ? kernel.consts[name] : undefined;
    if (!declared)
      throw new ValidationError(`${kernel.stem}: no constant "${name}" with a type and a literal for a value`);
    const { type } = declared;
    if ((type === 'bool') !== (typeof value === 'boolean'))
      throw new ValidationError(`${kernel.stem}: expected ${type} for ${name}, got ${value}`);
    values.set(name, type === 'f32' && Number.isInteger(value) ? `${value}.0` : `${value}`);
  }
  // on the first line, so that line numbers in messages match the file
  let [code, at] = [half ? 'enable f16; ' : '', 0];
  for (const { 0: text, index, groups = {} } of moduleScope(kernel.code).matchAll(declarations)) {
    const value = values.get(groups.constant ?? groups.alias);
    if (value === undefined) continue;
    code += kernel.code.slice(at, index) + text.slice(0, text.lastIndexOf(groups.value)) + value;
    at = index + text.lastIndexOf(groups.value) + groups.value.length;
  }
  return code + kernel.code.slice(at);
}
