import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DataError } from '../../src/errors.js';
import { f32, readSafetensors, type SavedTensor, toFloat32, writeSafetensors } from '../../src/io/safetensors.js';
import type { Tensors } from '../../src/parameters.js';

const test = suite('io/safetensors');

/** A file with this header text (a value becomes JSON) and `data` bytes, written without our writer. */
function file(header: unknown, data = 0): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setUint32(0, text.length, true);
  bytes.set(text, 8);
  return bytes;
}

function refuses(bytes: Uint8Array, message: RegExp): void {
  try {
    readSafetensors(bytes, 'some.safetensors');
  } catch (error) {
    assert.instance(error, DataError);
    assert.match((error as DataError).message, /^some\.safetensors: /);
    assert.match((error as DataError).message, message);
    return;
  }
  assert.unreachable(`expected a DataError that matches ${message}`);
}

const sizes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 });
const tensor: fc.Arbitrary<SavedTensor> = fc
  .tuple(sizes, fc.constantFrom('F32', 'I32', 'U32', 'U8', 'I64', 'F16' as const), fc.nat())
  .map(([shape, dtype, seed]): SavedTensor => {
    const values = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (seed + i * 7919) % 65521);
    if (dtype === 'F32')
      return f32(
        shape,
        Float32Array.from(values, (v) => v / 17 - 5),
      );
    if (dtype === 'I32') return { dtype, shape, data: Int32Array.from(values, (v) => v - 30000) };
    if (dtype === 'U32') return { dtype, shape, data: Uint32Array.from(values, (v) => v * 65521) };
    if (dtype === 'U8') return { dtype, shape, data: Uint8Array.from(values) };
    if (dtype === 'F16') return { dtype, shape, data: Uint16Array.from(values) };
    return { dtype: 'I64', shape, data: BigInt64Array.from(values, (v) => -(2n ** 60n) + BigInt(v)) };
  });
const name = fc.string({ unit: 'grapheme' }).filter((text) => text !== '__metadata__');
const tensors = fc.dictionary(name, tensor, { maxKeys: 5 });
const metadata = fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 });

test('a state, whose tensors have no type, is written as F32', () => {
  const state: Tensors = new Map([['w', { shape: [2, 1], data: Float32Array.of(1, -0.5) }]]);
  const { tensors } = readSafetensors(writeSafetensors(state), 'x');
  assert.equal(tensors.get('w'), { dtype: 'F32', shape: [2, 1], data: Float32Array.of(1, -0.5) });
  assert.equal(writeSafetensors(state), writeSafetensors(tensors));
});

test('what is written is read back, and the file has the published layout', () => {
  fc.assert(
    fc.property(tensors, metadata, (given, meta) => {
      const bytes = writeSafetensors(Object.entries(given), meta);
      const header = new DataView(bytes.buffer).getUint32(0, true);
      assert.is((8 + header) % 8, 0);
      assert.is(bytes[8], '{'.charCodeAt(0));
      const read = readSafetensors(bytes, 'x');
      assert.equal(Object.fromEntries(read.tensors), { ...given });
      assert.equal({ ...read.metadata }, { ...meta });
    }),
  );
});

test('a known file, byte by byte', () => {
  const bytes = writeSafetensors([
    ['b', { dtype: 'U8', shape: [2], data: Uint8Array.of(7, 8) }],
    ['a', f32([1], Float32Array.of(1))],
  ]);
  const header =
    '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}';
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  assert.equal([...bytes.subarray(0, 8)], [padded.length, 0, 0, 0, 0, 0, 0, 0]);
  assert.is(new TextDecoder().decode(bytes.subarray(8, 8 + padded.length)), padded);
  assert.equal([...bytes.subarray(8 + padded.length)], [0, 0, 0x80, 0x3f, 7, 8]);
});

test('the order in which tensors and metadata are given does not change a byte', () => {
  fc.assert(
    fc.property(tensors, metadata, (given, meta) => {
      const backwards = Object.fromEntries(Object.entries(meta).reverse());
      const turned = writeSafetensors(Object.entries(given).reverse(), backwards);
      assert.equal(turned, writeSafetensors(Object.entries(given), meta));
    }),
  );
});

test('every prefix of a file is refused, and so is a byte too many', () => {
  const bytes = writeSafetensors(
    [
      ['weight', f32([2, 3], Float32Array.of(1, 2, 3, 4, 5, 6))],
      ['steps', { dtype: 'I64', shape: [], data: BigInt64Array.of(5n) }],
    ],
    { made: 'here' },
  );
  for (let length = 0; length < bytes.length; length++) refuses(bytes.slice(0, length), /cut short|at least 8 bytes/);
  refuses(Uint8Array.of(...bytes, 0), /followed by/);
});

test('a header that claims 2^63 bytes, or 99 MB in a file of 20, allocates nothing and is refused', () => {
  const bytes = new Uint8Array(20);
  const before = process.memoryUsage().arrayBuffers;
  for (const claim of [2n ** 63n, 2n ** 64n - 1n, 99_000_000n, 13n]) {
    new DataView(bytes.buffer).setBigUint64(0, claim, true);
    refuses(bytes, new RegExp(`header claims ${claim} bytes, the file has 12`));
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 1e6);
});

test("PyTorch's own files are refused with the way to convert them", () => {
  for (const signature of [
    [0x50, 0x4b, 0x03, 0x04, 0, 0, 8, 8],
    [0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46],
  ])
    refuses(
      Uint8Array.from([...signature, ...new Array(100).fill(1)]),
      /PyTorch's own format: convert it by safetensors/,
    );
});

test('headers that are no tensor lists are refused with the reason', () => {
  const a = { dtype: 'F32', shape: [1], data_offsets: [0, 4] };
  const cases: [unknown, number, RegExp][] = [
    ['', 0, /not JSON/],
    ['{"a":', 0, /not JSON/],
    [' {}', 0, /not a JSON object/],
    ['[]', 0, /not a JSON object/],
    ['null', 0, /not a JSON object/],
    [{ a: 5 }, 0, /"a" has no description/],
    [{ a: [] }, 0, /"a" has no description/],
    [{ a: { ...a, dtype: 'BF16' } }, 4, /type "BF16"; read are/],
    [{ a: { ...a, dtype: 'toString' } }, 4, /type "toString"/],
    [{ a: { ...a, dtype: { toString: 1 } } }, 4, /type {"toString":1}/],
    [{ a: { ...a, dtype: undefined } }, 4, /type nothing/],
    [{ a: { ...a, more: 1 } }, 4, /unknown key "more"/],
    [{ a: { ...a, shape: [-1] } }, 4, /no valid shape/],
    [{ a: { ...a, shape: [0.5] } }, 4, /no valid shape/],
    [{ a: { ...a, shape: '1' } }, 4, /no valid shape/],
    [{ a: { ...a, shape: [1, null] } }, 4, /no valid shape/],
    [{ a: { ...a, data_offsets: [0] } }, 4, /no valid data_offsets/],
    [{ a: { ...a, data_offsets: [0, 4, 4] } }, 4, /no valid data_offsets/],
    [{ a: { ...a, data_offsets: [-4, 0] } }, 4, /no valid data_offsets/],
    [{ a: { ...a, data_offsets: [4, 0] } }, 4, /needs 4 bytes, its offsets are 4 to 0/],
    [{ a: { ...a, shape: [2] } }, 4, /needs 8 bytes, its offsets are 0 to 4/],
    [{ a: { ...a, shape: Array(40).fill(2 ** 50) } }, 4, /needs Infinity bytes/],
    [{ a: { ...a, shape: [...Array(40).fill(2 ** 50), 0] } }, 4, /needs NaN bytes/],
    [{ a: { ...a, data_offsets: [0, 2 ** 53 - 1] } }, 4, /needs 4 bytes/],
    [{ a, b: a }, 8, /"b" begins at byte 0 of the data, expected 4/],
    [{ a, b: { ...a, data_offsets: [2, 6] } }, 8, /"b" begins at byte 2 of the data, expected 4/],
    [{ a: { ...a, data_offsets: [4, 8] } }, 8, /"a" begins at byte 4 of the data, expected 0/],
    [{ a }, 5, /tensors take 4 bytes, the file holds 5; .*followed/],
    [{ a, b: { ...a, data_offsets: [4, 8] } }, 4, /tensors take 8 bytes, the file holds 4; .*cut short/],
    [{ __metadata__: { a: 1 } }, 0, /not an object of strings/],
    [{ __metadata__: ['a'] }, 0, /not an object of strings/],
    [`{"a":${JSON.stringify(a)},"\\u0061":${JSON.stringify(a)}}`, 4, /names "a" twice/],
    ['{"__metadata__":{"k":"1","k" :"2"}}', 0, /names "k" twice/],
    [`{"a\\"":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}`, 4, /names "shape" twice/],
    [`{"${'x'.repeat(500)}":5}`, 0, /tensor "x{79}… has no/],
  ];
  for (const [header, data, message] of cases) refuses(file(header, data), message);
  const broken = file('{"a":0}');
  broken[10] = 0xff;
  refuses(broken, /not JSON in UTF-8/);
});

test('names that JavaScript or JSON treats specially are only names', () => {
  const names = [
    '__proto__',
    'constructor',
    'hasOwnProperty',
    '',
    '"',
    '\\',
    '{',
    'a:b',
    '\u2028',
    'ä',
    '\ud83d\ude00',
    '{"x":',
  ];
  const one = f32([1], Float32Array.of(0.5));
  const read = readSafetensors(
    writeSafetensors(
      names.map((n) => [n, one] as const),
      { __proto__x: 'y' },
    ),
    'x',
  );
  assert.equal([...read.tensors.keys()].sort(), [...names].sort());
  for (const found of read.tensors.values()) assert.equal(found, one);
});

test('data that does not begin on a multiple of 4 is read all the same', () => {
  const header = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  ';
  const bytes = file(`${header} `, 4);
  bytes.set([0, 0, 0x80, 0x3f], bytes.length - 4);
  const inside = new Uint8Array(bytes.length + 3);
  inside.set(bytes, 3);
  assert.equal([...readSafetensors(inside.subarray(3), 'x').tensors.get('a')!.data], [1]);
});

test('any bytes and any damage give a tensor list or a DataError, nothing else', () => {
  const survives = (bytes: Uint8Array): void => {
    try {
      readSafetensors(bytes, 'x');
    } catch (error) {
      assert.instance(error, DataError);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), survives), { numRuns: 500 });
  fc.assert(
    fc.property(fc.json(), fc.nat(16), (json, data) => survives(file(json, data))),
    { numRuns: 500 },
  );
  const entry = fc.record(
    {
      dtype: fc.oneof(fc.constant('F32'), fc.jsonValue()),
      shape: fc.oneof(sizes, fc.jsonValue()),
      data_offsets: fc.oneof(sizes, fc.jsonValue()),
    },
    { requiredKeys: [] },
  );
  const entries = fc.dictionary(fc.oneof(fc.constant('__metadata__'), fc.string()), fc.oneof(entry, fc.jsonValue()));
  fc.assert(
    fc.property(entries, fc.nat(16), (header, data) => survives(file(header, data))),
    { numRuns: 500 },
  );
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(tensors, metadata, damage, (given, meta, changes) => {
      const bytes = writeSafetensors(Object.entries(given), meta);
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      survives(bytes);
    }),
    { numRuns: 1000 },
  );
});

test('a deeply nested or a very long header is refused without running out of stack', () => {
  refuses(file('['.repeat(1e6)), /not JSON/);
  refuses(file('['.repeat(1e5) + ']'.repeat(1e5)), /not a JSON object/);
  refuses(file(`{"a":${'[1,'.repeat(1e4)}1${']'.repeat(1e4)}}`), /"a" has no description/);
  const long = 'n'.repeat(5e6);
  const read = readSafetensors(file(`{"__metadata__":{"k":"${long}"}}`), 'x');
  assert.is(read.metadata.k.length, long.length);
});

test('F16 widens exactly: zeros, subnormals, ordinary, infinities, NaN', () => {
  const data = Uint16Array.of(
    0x0000,
    0x8000,
    0x0001,
    0x03ff,
    0x0400,
    0x3c00,
    0xc000,
    0x3555,
    0x7bff,
    0x7c00,
    0xfc00,
    0x7e00,
  );
  const wide = toFloat32({ dtype: 'F16', shape: [12], data }, 'x');
  const expected = [
    0,
    -0,
    2 ** -24,
    1023 * 2 ** -24,
    2 ** -14,
    1,
    -2,
    1365 * 2 ** -12,
    65504,
    Infinity,
    -Infinity,
    NaN,
  ];
  assert.ok(wide.every((value, i) => Object.is(value, expected[i])));
  assert.throws(
    () => toFloat32({ dtype: 'I64', shape: [1], data: BigInt64Array.of(1n) }, 'n'),
    (error: Error) => error instanceof DataError && /^n: expected a tensor of F32 or F16, got I64/.test(error.message),
  );
});

test('a tensor whose shape and values disagree, or a name given twice, is not written', () => {
  const writes =
    (...entries: [string, SavedTensor][]) =>
    () =>
      writeSafetensors(entries);
  const refused = (message: RegExp) => (error: Error) => error instanceof DataError && message.test(error.message);
  assert.throws(
    writes(['a', f32([2, 2], new Float32Array(3))]),
    refused(/a is F32 of shape \(2, 2\): expected 4 values/),
  );
  const wrong = { dtype: 'F32', shape: [1], data: Int32Array.of(1) } as unknown as SavedTensor;
  assert.throws(writes(['a', wrong]), refused(/1 values in a Float32Array, got 1 in a Int32Array/));
  const one = f32([], Float32Array.of(1));
  assert.throws(writes(['a', one], ['a', one]), refused(/second tensor named a/));
  assert.throws(writes(['__metadata__', one]), refused(/__metadata__/));
});

test.run();
