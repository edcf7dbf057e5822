/**
 * The header of a safetensors file: the types there are, and a check of all metadata and tensors in its JSON. Knows
 * nothing of the data behind it.
 */

/**
 * The element types of the format, with the array that holds each and the bits of an element. F16, BF16 and the types of 8 bits
 * come as their bits, C64 as pairs of numbers, those of 6 and 4 bits as the bytes that they are packed in.
 */
export const TYPES = {
  I64: { array: BigInt64Array, bits: 64 },
  U64: { array: BigUint64Array, bits: 64 },
  F64: { array: Float64Array, bits: 64 },
  C64: { array: Float32Array, bits: 64 },
  F32: { array: Float32Array, bits: 32 },
  I32: { array: Int32Array, bits: 32 },
  U32: { array: Uint32Array, bits: 32 },
  F16: { array: Uint16Array, bits: 16 },
  BF16: { array: Uint16Array, bits: 16 },
  I16: { array: Int16Array, bits: 16 },
  U16: { array: Uint16Array, bits: 16 },
  I8: { array: Int8Array, bits: 8 },
  U8: { array: Uint8Array, bits: 8 },
  BOOL: { array: Uint8Array, bits: 8 },
  F8_E4M3: { array: Uint8Array, bits: 8 },
  F8_E5M2: { array: Uint8Array, bits: 8 },
  F8_E8M0: { array: Uint8Array, bits: 8 },
  F8_E4M3FNUZ: { array: Uint8Array, bits: 8 },
  F8_E5M2FNUZ: { array: Uint8Array, bits: 8 },
  F6_E2M3: { array: Uint8Array, bits: 6 },
  F6_E3M2: { array: Uint8Array, bits: 6 },
  F4: { array: Uint8Array, bits: 4 },
} as const;

/** A tensor as the header describes it. */
export interface Span {
  readonly name: string;
  readonly dtype: keyof typeof TYPES;
  readonly shape: readonly number[];
  /** Bytes of the data, the last one excluded. */
  readonly begin: number;
  readonly end: number;
}

/** @param fail throws, with what is wrong */
export function readHeader(
  bytes: Uint8Array,
  fail: (what: string, cause?: unknown) => never,
): { metadata: Readonly<Record<string, string>>; spans: readonly Span[] } {
  let text = '';
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (cause) {
    fail('its header is not JSON in UTF-8', cause);
  }
  if (!isObject(header)) return fail('its header is not a JSON object');
  const flaw = findFlaw(text);
  if (flaw !== undefined) fail(flaw);

  const { __metadata__, ...entries } = header;
  const metadata = __metadata__ ?? {};
  if (!isObject(metadata) || Object.values(metadata).some((value) => typeof value !== 'string')) {
    return fail('__metadata__ is not an object of strings');
  }
  const spans = Object.entries(entries).map(([name, entry]): Span => {
    const quoted = brief(name);
    if (!isObject(entry)) return fail(`tensor ${quoted} has no description`);
    const { dtype, shape, data_offsets: offsets } = entry; // readers pass over keys that they do not know
    if (!isType(dtype)) {
      return fail(`tensor ${quoted} has type ${brief(dtype)}; known are ${Object.keys(TYPES).join(', ')}`);
    }
    if (!isSizes(shape)) return fail(`tensor ${quoted} has no valid shape`);
    if (!isSizes(offsets) || offsets.length !== 2) return fail(`tensor ${quoted} has no valid data_offsets`);
    const [begin, end] = offsets;
    const expected = bytesOf(shape, TYPES[dtype].bits);
    // Written so that a product grown to NaN is refused too.
    if (!(begin <= end && end - begin === expected)) {
      fail(
        `tensor ${quoted}, ${dtype} of shape ${brief(shape)}, needs ${expected} bytes, its offsets are ${begin} to ${end}`,
      );
    }
    return { name, dtype, shape, begin, end };
  });
  return { metadata: metadata as Record<string, string>, spans };
}

/** NaN where the product, taken from left to right, does not fit in the 64 bits of other readers. */
function bytesOf(shape: readonly number[], bits: number): number {
  const count = shape.reduce((product, size) => (product * size < 2 ** 64 ? product * size : Number.NaN), 1);
  return (count * bits) / 8;
}

/**
 * What is wrong with a header that JSON.parse does not report: a duplicate key in one object, of which it would
 * silently keep the last; sizes that are not written as whole numbers; half of a surrogate pair. `text` is valid JSON.
 */
function findFlaw(text: string): string | undefined {
  const open: { keys: Set<string>; key: string }[] = [];
  const colon = /\s*:/y;
  const sizes = /\s*:\s*\[[\s\d,]*\]/y;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '{') open.push({ keys: new Set(), key: '' });
    if (text[i] === '}') open.pop();
    if (text[i] !== '"') continue;
    const begin = i++;
    let escapes = false;
    while (text[i] !== '"') {
      if (text[i] === '\\') escapes = true;
      i += text[i] === '\\' ? 2 : 1;
    }
    const token = () => JSON.parse(text.slice(begin, i + 1)) as string;
    if (escapes && !isWellFormed(token())) return `its header holds half of a character: ${brief(token())}`;
    colon.lastIndex = i + 1;
    const inner = open.at(-1);
    if (!inner || !colon.test(text)) continue;
    const key = token();
    if (inner.keys.has(key)) return `its header names ${brief(key)} twice`;
    inner.keys.add(key);
    inner.key = key;
    sizes.lastIndex = i + 1;
    const describes = open.length === 2 && open[0].key !== '__metadata__';
    if (describes && (key === 'shape' || key === 'data_offsets') && !sizes.test(text))
      return `tensor ${brief(open[0].key)} has no valid ${key}`;
  }
  return undefined;
}

/** Whether a text has no half of a surrogate pair, which UTF-8 cannot hold. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** A value of the file for a message, cut where it is long. */
export function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

function isType(value: unknown): value is keyof typeof TYPES {
  return typeof value === 'string' && Object.hasOwn(TYPES, value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
