import { DataError } from '../errors.js';
import type { Tensors } from '../parameters.js';
import { fromHalf } from '../runtime/half.js';

/** Element types read, with the array that holds each. F16 comes as its bits: `toFloat32` widens them. */
const ARRAYS = {
  I64: BigInt64Array,
  F32: Float32Array,
  I32: Int32Array,
  U32: Uint32Array,
  F16: Uint16Array,
  U8: Uint8Array,
} as const;

export type DType = keyof typeof ARRAYS;

/** A named tensor's shape and values, in row-major order. */
export interface SavedTensor<T extends DType = DType> {
  readonly dtype: T;
  readonly shape: readonly number[];
  readonly data: InstanceType<(typeof ARRAYS)[T]>;
}

export interface Safetensors {
  /** By name, in the file's order. */
  readonly tensors: ReadonlyMap<string, SavedTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The reference implementation's own bound. */
const HEADER_LIMIT = 100_000_000;

/** An f32 tensor for `writeSafetensors`. */
export function f32(shape: readonly number[], data: Float32Array): SavedTensor<'F32'> {
  return { dtype: 'F32', shape, data: data as Float32Array<ArrayBuffer> };
}

/** The values of an F32 or F16 tensor as f32. A DataError names `name` for other types. */
export function toFloat32(tensor: SavedTensor, name: string): Float32Array {
  if (tensor.data instanceof Float32Array) return tensor.data;
  if (tensor.dtype === 'F16') return fromHalf(tensor.data as Uint16Array);
  throw new DataError(`${name}: expected a tensor of F32 or F16, got ${tensor.dtype}`);
}

/**
 * Tensors of F32 and F16 as `load()` takes them, all f32.
 *
 * @param file begins their names in errors, where it is given
 * @throws DataError that names the first tensor of another type
 */
export function toTensors(saved: Iterable<readonly [string, SavedTensor]>, file?: string): Tensors {
  const named = (name: string) => (file === undefined ? name : `${file}: ${name}`);
  return new Map(Array.from(saved, ([name, t]) => [name, { shape: [...t.shape], data: toFloat32(t, named(name)) }]));
}

/**
 * The bytes of a safetensors file: an 8-byte little-endian length, a JSON header padded with spaces to a multiple of 8,
 * then the tensors, widest element first and by name within, so that equal contents give equal bytes. Tensors without a
 * `dtype`, as `save()` and `state()` give them, are F32.
 */
export function writeSafetensors(
  tensors: Iterable<
    readonly [string, SavedTensor | { readonly shape: readonly number[]; readonly data: Float32Array }]
  >,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const typed = Array.from(tensors, ([name, t]) => [name, 'dtype' in t ? t : f32(t.shape, t.data)] as const);
  const entries = typed.sort(([a, x], [b, y]) => widthOf(y.dtype) - widthOf(x.dtype) || compare(a, b));
  const lines: string[] = [];
  const names = new Set<string>();
  const meta = Object.entries(metadata).sort(([a], [b]) => compare(a, b));
  if (meta.length > 0) {
    lines.push(
      `"__metadata__":{${meta.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join()}}`,
    );
  }
  let end = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    if (name === '__metadata__' || names.has(name)) throw new DataError(`safetensors: a second tensor named ${name}`);
    names.add(name);
    const count = shape.reduce((product, size) => product * size, 1);
    if (count !== data.length || !(data instanceof ARRAYS[dtype])) {
      throw new DataError(
        `safetensors: tensor ${name} is ${dtype} of shape (${shape.join(', ')}): expected ${count} values in a ` +
          `${ARRAYS[dtype].name}, got ${data.length} in a ${data.constructor.name}`,
      );
    }
    lines.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [end, end + data.byteLength] })}`,
    );
    end += data.byteLength;
  }
  const header = new TextEncoder().encode(`{${lines.join()}}`);
  const padded = Math.ceil(header.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(header, 8);
  bytes.fill(0x20, 8 + header.length, 8 + padded);
  let at = 8 + padded;
  for (const [, { data }] of entries) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return bytes;
}

/**
 * Reads a safetensors file. Everything the header says is checked against the file before anything is allocated: its
 * length, JSON, names, types, shapes, and that the tensors fill the data without overlap or gap.
 * A DataError names `file` (as the user knows it) and what is wrong. The values are copies.
 */
export function readSafetensors(bytes: Uint8Array, file: string): Safetensors {
  const fail = (what: string, cause?: unknown): never => {
    throw new DataError(`${file}: not a usable safetensors file: ${what}`, cause === undefined ? {} : { cause });
  };
  if (bytes.length < 8) fail(`expected at least 8 bytes, got ${bytes.length}`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > HEADER_LIMIT || length > bytes.length - 8) {
    if (isPickle(bytes))
      fail("it is PyTorch's own format: convert it by safetensors.torch.save_file(model.state_dict(), FILE)");
    fail(
      `its header claims ${length} bytes, the file has ${bytes.length - 8} after it; it is cut short or something else`,
    );
  }
  const start = 8 + Number(length);
  let text = '';
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, start));
    header = JSON.parse(text);
  } catch (cause) {
    fail('its header is not JSON in UTF-8', cause);
  }
  if (!isObject(header) || text[0] !== '{') return fail('its header is not a JSON object');
  const twice = repeatedKey(text);
  if (twice !== undefined) fail(`its header names ${brief(twice)} twice`);

  const { __metadata__: metadata = {}, ...entries } = header;
  if (!isObject(metadata) || Object.values(metadata).some((value) => typeof value !== 'string')) {
    return fail('__metadata__ is not an object of strings');
  }
  const spans: { name: string; dtype: DType; shape: number[]; begin: number; end: number }[] = [];
  for (const [name, entry] of Object.entries(entries)) {
    const quoted = brief(name);
    if (!isObject(entry)) return fail(`tensor ${quoted} has no description`);
    const { dtype, shape, data_offsets: offsets, ...more } = entry;
    if (Object.keys(more).length > 0) fail(`tensor ${quoted} has an unknown key ${brief(Object.keys(more)[0])}`);
    if (typeof dtype !== 'string' || !Object.hasOwn(ARRAYS, dtype)) {
      return fail(
        `tensor ${quoted} has type ${brief(dtype)}; read are ${Object.keys(ARRAYS).join(', ')}: convert it first`,
      );
    }
    if (!isSizes(shape)) return fail(`tensor ${quoted} has no valid shape`);
    if (!isSizes(offsets) || offsets.length !== 2) return fail(`tensor ${quoted} has no valid data_offsets`);
    const [begin, end] = offsets;
    const expected = shape.reduce((product, size) => product * size, widthOf(dtype as DType));
    // Written so that a product grown to infinity or NaN is refused too.
    if (!(begin <= end && end - begin === expected)) {
      fail(
        `tensor ${quoted}, ${dtype} of shape ${brief(shape)}, needs ${expected} bytes, its offsets are ${begin} to ${end}`,
      );
    }
    spans.push({ name, dtype: dtype as DType, shape, begin, end });
  }

  let at = 0;
  for (const { name, begin, end } of spans.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== at) fail(`tensor ${brief(name)} begins at byte ${begin} of the data, expected ${at}`);
    at = end;
  }
  if (at !== bytes.length - start) {
    fail(
      `its tensors take ${at} bytes, the file holds ${bytes.length - start}; it is cut short or followed by something`,
    );
  }
  const tensors = new Map<string, SavedTensor>();
  for (const { name, dtype, shape, begin, end } of spans) {
    // a Buffer's own slice() would be a view of the whole file
    const data = new ARRAYS[dtype](
      Uint8Array.prototype.slice.call(bytes, start + begin, start + end).buffer as ArrayBuffer,
    );
    tensors.set(name, { dtype, shape, data });
  }
  return { tensors, metadata: metadata as Record<string, string> };
}

/**
 * The first key that stands twice in one object, the header or an entry: JSON.parse would silently keep the last.
 * `text` is valid JSON.
 */
function repeatedKey(text: string): string | undefined {
  const open: Set<string>[] = [];
  const colon = /\s*:/y;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '{') open.push(new Set());
    if (text[i] === '}') open.pop();
    if (text[i] !== '"') continue;
    const begin = i++;
    while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
    colon.lastIndex = i + 1;
    if (!colon.test(text)) continue;
    const key = JSON.parse(text.slice(begin, i + 1)) as string;
    if (open.at(-1)!.has(key)) return key;
    open.at(-1)!.add(key);
  }
  return undefined;
}

/** Whether a file begins as torch.save() writes it: a ZIP archive, or, long ago, a pickle of its magic number. */
function isPickle(bytes: Uint8Array): boolean {
  const begins = (...signature: number[]) => signature.every((byte, i) => bytes[i] === byte);
  return begins(0x50, 0x4b, 0x03, 0x04) || begins(0x80, 0x02, 0x8a, 0x0a);
}

function widthOf(dtype: DType): number {
  return ARRAYS[dtype].BYTES_PER_ELEMENT;
}

/** A value of the file for a message, cut where it is long. */
function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** By code units: the same order whatever the machine's language. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
