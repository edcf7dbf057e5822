// Safetensors files: read lazily, written in the reference implementation's layout.
import type { Tensors } from '../core/state.js';
import { DataError } from '../errors.js';
import { fromHalf } from '../tensor/float16.js';
import { numel } from '../tensor/tensor.js';
import { brief, isWellFormed, readHeader, TYPES } from './safetensors_header.js';

/** An element type of the format. */
export type DType = keyof typeof TYPES;

/** A named tensor's shape and values, in row-major order. */
export interface SavedTensor<T extends DType = DType> {
  readonly dtype: T;
  readonly shape: readonly number[];
  /** F16, BF16 and types of 8 bits as their bits, C64 as pairs of numbers, types of fewer bits as the bytes they are packed in. */
  readonly data: InstanceType<(typeof TYPES)[T]['array']>;
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

/** The values of a tensor of F32, F16, BF16 (exactly) or F64 (rounded) as f32. A DataError names `name` for other types. */
export function toFloat32({ dtype, data }: SavedTensor, name: string): Float32Array {
  if (dtype === 'F32') return data as Float32Array;
  if (dtype === 'F16') return fromHalf(data as Uint16Array);
  if (dtype === 'BF16') return new Float32Array(Uint32Array.from(data as Uint16Array, (bits) => bits << 16).buffer);
  if (dtype === 'F64') return Float32Array.from(data as Float64Array);
  throw new DataError(`${name}: expected a tensor of F32, F16, BF16 or F64, got ${dtype}`);
}

/**
 * Tensors of F32, F16, BF16 and F64 as `load()` takes them, all f32.
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
  const entries = typed.sort(([a, x], [b, y]) => TYPES[y.dtype].bits - TYPES[x.dtype].bits || compare(a, b));
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
    if (!isWellFormed(name)) throw new DataError(`safetensors: expected names of whole characters, got ${brief(name)}`);
    if (name === '__metadata__' || names.has(name)) throw new DataError(`safetensors: a second tensor named ${name}`);
    names.add(name);
    const { array, bits } = TYPES[dtype];
    const count = (numel(shape) * bits) / (8 * array.BYTES_PER_ELEMENT);
    if (count !== data.length || !(data instanceof array)) {
      throw new DataError(
        `safetensors: tensor ${name} is ${dtype} of shape (${shape.join(', ')}): expected ${count} values in a ` +
          `${array.name}, got ${data.length} in a ${data.constructor.name}`,
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
 * Reads a safetensors file: all that the reference implementation reads, except sizes beyond 2^53. Everything in the header is
 * checked against the file: its length, JSON, names, types, shapes, and that the tensors fill the data without overlap or gap.
 * A DataError names `file` (as the user knows it) and what is wrong. Values are copied when they are first asked for, so that
 * tensors that are not used take no memory; do not change `bytes` until then.
 */
export function readSafetensors(bytes: Uint8Array, file: string): Safetensors {
  const fail = (what: string, cause?: unknown): never => {
    throw new DataError(`${file}: not a usable safetensors file: ${what}`, cause === undefined ? {} : { cause });
  };
  if (!((bytes as unknown) instanceof Uint8Array)) fail(`expected its bytes, a Uint8Array, got ${typeof bytes}`);
  if (bytes.length < 8) fail(`expected at least 8 bytes, got ${bytes.length}`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > HEADER_LIMIT || length > bytes.length - 8) {
    if (isPickle(bytes))
      fail("it is PyTorch's own format: convert it by safetensors.torch.save_file(model.state_dict(), FILE)");
    fail(
      length > bytes.length - 8
        ? `its header claims ${length} bytes, the file has ${bytes.length - 8} after it; it is cut short or something else`
        : `its header has ${length} bytes, expected ${HEADER_LIMIT} at most`,
    );
  }
  const start = 8 + Number(length);
  const { metadata, spans } = readHeader(bytes.subarray(8, start), fail);
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
  for (const { name, dtype, shape, begin, end } of spans)
    tensors.set(name, lazily(dtype, shape, bytes.subarray(start + begin, start + end)));
  return { tensors, metadata };
}

function lazily(dtype: DType, shape: readonly number[], bytes: Uint8Array): SavedTensor {
  let values: SavedTensor['data'] | undefined;
  return {
    dtype,
    shape,
    get data() {
      // a Buffer's own slice() would be a view of the whole file
      values ??= new TYPES[dtype].array(Uint8Array.prototype.slice.call(bytes).buffer as ArrayBuffer);
      return values;
    },
  };
}

/** Whether a file begins as torch.save() writes it: a ZIP archive, or, long ago, a pickle of its magic number. */
function isPickle(bytes: Uint8Array): boolean {
  const begins = (...signature: number[]) => signature.every((byte, i) => bytes[i] === byte);
  return begins(0x50, 0x4b, 0x03, 0x04) || begins(0x80, 0x02, 0x8a, 0x0a);
}

/** By code units: the same order in every locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
