import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tensors } from '../../src/core/state.js';
import { DataError } from '../../src/errors.js';
import { f32, readSafetensors, type SavedTensor, toFloat32, writeSafetensors } from '../../src/formats/safetensors.js';
import { numel } from '../../src/tensor/tensor.js';
import { seed } from '../random.js';

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
  .tuple(
    sizes,
    fc.constantFrom('F32', 'F64', 'C64', 'I32', 'U32', 'U8', 'BOOL', 'F8_E4M3', 'I64', 'F16', 'BF16' as const),
    fc.nat(),
  )
  .map(([shape, dtype, seed]): SavedTensor => {
    const values = Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (seed + i * 7919) % 65521);
    if (dtype === 'F32')
      return f32(
        shape,
        Float32Array.from(values, (v) => v / 17 - 5),
      );
    if (dtype === 'I32') return { dtype, shape, data: Int32Array.from(values, (v) => v - 30000) };
    if (dtype === 'U32') return { dtype, shape, data: Uint32Array.from(values, (v) => v * 65521) };
    if (dtype === 'F64') return { dtype, shape, data: Float64Array.from(values, (v) => 1 / (v + 1)) };
    if (dtype === 'C64') return { dtype, shape, data: Float32Array.from([...values, ...values]) };
    if (dtype === 'U8' || dtype === 'BOOL' || dtype === 'F8_E4M3')
      return { dtype, shape, data: Uint8Array.from(values) };
    if (dtype === 'F16' || dtype === 'BF16') return { dtype, shape, data: Uint16Array.from(values) };
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
  const long = new Uint8Array(100_000_016); // the reference implementation reads no longer headers either
  new DataView(long.buffer).setUint32(0, 100_000_001, true);
  refuses(long, /header has 100000001 bytes, expected 100000000 at most/);
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
    ['[]', 0, /not a JSON object/],
    ['null', 0, /not a JSON object/],
    [{ a: 5 }, 0, /"a" has no description/],
    [{ a: [] }, 0, /"a" has no description/],
    [{ a: { ...a, dtype: 'F128' } }, 4, /type "F128"; known are I64, /],
    [{ a: { ...a, dtype: 'toString' } }, 4, /type "toString"/],
    [{ a: { ...a, dtype: { toString: 1 } } }, 4, /type {"toString":1}/],
    [{ a: { ...a, dtype: undefined } }, 4, /type nothing/],
    [{ a: { ...a, shape: [-1] } }, 4, /no valid shape/],
    [{ a: { ...a, shape: [0.5] } }, 4, /no valid shape/],
    [{ a: { ...a, shape: '1' } }, 4, /no valid shape/],
    [{ a: { ...a, shape: [1, null] } }, 4, /no valid shape/],
    [{ a: { ...a, data_offsets: [0] } }, 4, /no valid data_offsets/],
    [{ a: { ...a, data_offsets: [0, 4, 4] } }, 4, /no valid data_offsets/],
    [{ a: { ...a, data_offsets: [-4, 0] } }, 4, /no valid data_offsets/],
    [{ a: { ...a, data_offsets: [4, 0] } }, 4, /needs 4 bytes, its offsets are 4 to 0/],
    [{ a: { ...a, shape: [2] } }, 4, /needs 8 bytes, its offsets are 0 to 4/],
    [{ a: { ...a, shape: Array(40).fill(2 ** 50) } }, 4, /needs NaN bytes/],
    [{ a: { ...a, shape: [...Array(40).fill(2 ** 50), 0] } }, 4, /needs NaN bytes/],
    [{ a: { ...a, data_offsets: [0, 2 ** 53 - 1] } }, 4, /needs 4 bytes/],
    [{ a, b: a }, 8, /"b" begins at byte 0 of the data, expected 4/],
    [{ a, b: { ...a, data_offsets: [2, 6] } }, 8, /"b" begins at byte 2 of the data, expected 4/],
    [{ a: { ...a, data_offsets: [4, 8] } }, 8, /"a" begins at byte 4 of the data, expected 0/],
    [{ a }, 5, /tensors take 4 bytes, the file holds 5; .*followed/],
    [{ a, b: { ...a, data_offsets: [4, 8] } }, 4, /tensors take 8 bytes, the file holds 4; .*cut short/],
    [{ a: { ...a, shape: [1.5] } }, 4, /"a" has no valid shape/],
    ['{"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', 4, /"a" has no valid shape/],
    ['{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4e0]}}', 4, /"a" has no valid data_offsets/],
    ['{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}', 0, /"a" has no valid shape/],
    [{ a: { ...a, dtype: 'F4', shape: [3], data_offsets: [0, 1] } }, 1, /needs 1.5 bytes/],
    [{ a: { ...a, shape: [2 ** 40, 2 ** 40, 0], data_offsets: [0, 0] } }, 0, /needs NaN bytes/],
    ['{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4, /half of a character: "\\ud800"/],
    ['{"__metadata__":{"k":"\\udc00"}}', 0, /half of a character/],
    ['\ufeff{}', 0, /not JSON/],
    ['{}\0', 0, /not JSON/],
    [{ __metadata__: 'text' }, 0, /not an object of strings/],
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

test('whatever the reference implementation reads is read', () => {
  const a = { dtype: 'F32', shape: [1], data_offsets: [0, 4] };
  const none = { dtype: 'F32', shape: [0] };
  const cases: [unknown, number, Record<string, number[]>][] = [
    ['{}', 0, {}],
    ['{}      ', 0, {}],
    [' \t\n\r{} ', 0, {}],
    [{ __metadata__: {} }, 0, {}],
    [{ __metadata__: { shape: 'x', data_offsets: '1.5' } }, 0, {}],
    [{ __metadata__: null, a }, 4, { a: [1] }],
    [{ a: { ...a, shape: [] } }, 4, { a: [] }],
    [{ a: { ...a, shape: [1, 1, 1] } }, 4, { a: [1, 1, 1] }],
    [{ a: { ...a, note: { 1: [1.5] } } }, 4, { a: [1] }],
    [{ a: { ...none, data_offsets: [0, 0] } }, 0, { a: [0] }],
    [{ a: { ...a, shape: [3, 0, 2 ** 40, 2 ** 40], data_offsets: [0, 0] } }, 0, { a: [3, 0, 2 ** 40, 2 ** 40] }],
    [{ e: { ...none, data_offsets: [4, 4] }, a, d: { ...none, data_offsets: [0, 0] } }, 4, { e: [0], a: [1], d: [0] }],
    [{ late: { ...a, data_offsets: [4, 8] }, early: a }, 8, { late: [1], early: [1] }],
    [
      { odd: { dtype: 'BOOL', shape: [3], data_offsets: [0, 3] }, a: { ...a, data_offsets: [3, 7] } },
      7,
      { odd: [3], a: [1] },
    ],
    ['{"a":{"shape":[ 1 ,1 ],"data_offsets" : [ 0,4],"dtype":"F32"}}', 4, { a: [1, 1] }],
    ['{"\\ud83d\\ude00":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1, { '\ud83d\ude00': [1] }],
  ];
  for (const [header, length, shapes] of cases) {
    const { tensors } = readSafetensors(file(header, length), 'x');
    assert.equal(Object.fromEntries(Array.from(tensors, ([key, { shape }]) => [key, shape])), shapes);
    for (const [key, { data }] of tensors) assert.is(data.length, numel(shapes[key]), key);
  }
});

test('every type is read with as many bytes as it has, and is no hindrance to the tensors beside it', () => {
  const sizes = { 8: 'I64 U64 F64 C64', 4: 'F32 I32 U32', 2: 'F16 BF16 I16 U16', 0.75: 'F6_E2M3 F6_E3M2', 0.5: 'F4' };
  const bytes = 'I8 U8 BOOL F8_E4M3 F8_E5M2 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ';
  for (const [size, types] of Object.entries({ ...sizes, 1: bytes }))
    for (const dtype of types.split(' ')) {
      const length = 4 * Number(size);
      const header = {
        odd: { dtype, shape: [2, 2], data_offsets: [0, length] },
        w: { dtype: 'F32', shape: [1], data_offsets: [length, length + 4] },
      };
      const made = file(header, length + 4);
      made.fill(1, made.length - length - 4);
      const { tensors } = readSafetensors(made, 'x');
      const odd = tensors.get('odd')!;
      assert.equal([...new Uint8Array(odd.data.buffer)], Array(length).fill(1), dtype);
      assert.equal([...tensors.get('w')!.data], [new Float32Array(Uint8Array.of(1, 1, 1, 1).buffer)[0]]);
      assert.equal(readSafetensors(writeSafetensors(tensors), 'x').tensors.get('odd'), odd);
    }
});

test('values are copies, made when they are asked for, and the same each time', () => {
  const bytes = writeSafetensors([['w', f32([2], Float32Array.of(1, 2))]]);
  const tensor = readSafetensors(bytes, 'x').tensors.get('w')!;
  const { data } = tensor;
  bytes.fill(0);
  assert.equal(data, Float32Array.of(1, 2));
  assert.is(tensor.data, data);
  assert.is(data.buffer.byteLength, 8);
});

test('BF16 widens exactly, F64 to the nearest', () => {
  const data = Uint16Array.of(0x0000, 0x8000, 0x3f80, 0xc000, 0x4049, 0x0001, 0x7f7f, 0x7f80, 0xff80, 0x7fc0);
  const expected = [0, -0, 1, -2, 3.140625, 2 ** -133, 255 * 2 ** 120, Infinity, -Infinity, NaN];
  const wide = toFloat32({ dtype: 'BF16', shape: [10], data }, 'x');
  assert.ok(wide.every((value, i) => Object.is(value, expected[i])));
  const doubles = toFloat32({ dtype: 'F64', shape: [4], data: Float64Array.of(0.1, 1e300, -1e-300, NaN) }, 'x');
  const nearest = [Math.fround(0.1), Infinity, -0, NaN];
  assert.ok(doubles.every((value, i) => Object.is(value, nearest[i])));
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
      const { tensors } = readSafetensors(bytes, 'x');
      const read = [...tensors.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
      assert.ok(read <= bytes.length, 'more was allocated than the file holds');
    } catch (error) {
      assert.instance(error, DataError);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), survives), { numRuns: 500, seed });
  fc.assert(
    fc.property(fc.json(), fc.nat(16), (json, data) => survives(file(json, data))),
    { numRuns: 500, seed },
  );
  const entry = fc.record(
    {
      dtype: fc.oneof(fc.constantFrom('F32', 'U8', 'F4'), fc.jsonValue()),
      shape: fc.oneof(sizes, fc.jsonValue()),
      data_offsets: fc.oneof(sizes, fc.jsonValue()),
    },
    { requiredKeys: [] },
  );
  const entries = fc.dictionary(fc.oneof(fc.constant('__metadata__'), fc.string()), fc.oneof(entry, fc.jsonValue()));
  fc.assert(
    fc.property(entries, fc.nat(16), (header, data) => survives(file(header, data))),
    { numRuns: 500, seed },
  );
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(tensors, metadata, damage, (given, meta, changes) => {
      const bytes = writeSafetensors(Object.entries(given), meta);
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      survives(bytes);
    }),
    { numRuns: 1000, seed },
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
  const data = Uint16Array.of(0, 0x8000, 1, 0x03ff, 0x0400, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x7c00, 0xfc00, 0x7e00);
  const wide = toFloat32({ dtype: 'F16', shape: [12], data }, 'x');
  const finite = [0, -0, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 1, -2, 1365 * 2 ** -12, 65504];
  const expected = [...finite, Infinity, -Infinity, NaN];
  assert.ok(wide.every((value, i) => Object.is(value, expected[i])));
  assert.throws(
    () => toFloat32({ dtype: 'I64', shape: [1], data: BigInt64Array.of(1n) }, 'n'),
    (error: Error) =>
      error instanceof DataError && /^n: expected a tensor of F32, F16, BF16 or F64, got I64/.test(error.message),
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
  assert.throws(writes(['\ud800', one]), refused(/names of whole characters, got "\\ud800"/));
});

test.run();
