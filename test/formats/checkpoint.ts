import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DataError } from '../../src/errors.js';
import {
  type Checkpoint,
  checkConfig,
  checkState,
  checkTensors,
  readCheckpoint,
  writeCheckpoint,
} from '../../src/formats/checkpoint.js';
import { f32, writeSafetensors } from '../../src/formats/safetensors.js';

const test = suite('io/checkpoint');

const checkpoint: Checkpoint = {
  step: 41,
  config: { encoder: 'mobilenet_v1', width: 0.25, crop: [0.3, 1], nested: { b: null, a: true } },
  variants: { pointwise: 'tiled', depthwise: 'windows' },
  adapter: 'some adapter, driver 25.0.7',
  tensors: new Map([
    ['weights', f32([2, 2], Float32Array.of(1, -2, 3.5, 1e-30))],
    ['momentum', f32([4], Float32Array.of(0.1, 0.2, 0.3, NaN))],
  ]),
};

const refused = (message: RegExp) => (error: Error) => error instanceof DataError && message.test(error.message);

test('a checkpoint is read back as it was written', () => {
  const bytes = writeCheckpoint(checkpoint);
  const read = readCheckpoint(bytes, 'x');
  assert.equal(read, { ...checkpoint, tensors: read.tensors });
  assert.equal(read.tensors.get('weights'), checkpoint.tensors.get('weights'));
  assert.equal(writeCheckpoint(read), bytes, 'the NaN keeps its bits too');
});

test('tensors of another element type are refused by name', () => {
  const shapes = new Map([['weights', [2]]]);
  const state = (data: unknown) => new Map([['weights', { shape: [2], data: data as Float32Array }]]);
  checkState(state(Float32Array.of(1, 2)), shapes, 'x');
  for (const data of [Float64Array.of(1, 2), Int32Array.of(1, 2), new Uint16Array(2), [1, 2]])
    assert.throws(
      () => checkState(state(data), shapes, 'x'),
      refused(/^x: .*weights is (an )?\w+ \(2\), expected F32 \(2\)$/),
    );
  assert.throws(
    () => checkState(state(undefined), shapes, 'x'),
    refused(/^x: expected weights to be \{ shape, data \}, got Object$/),
  );
});

test('the same state gives the same bytes, whatever the order of its keys', () => {
  const turned: Checkpoint = {
    tensors: new Map([...checkpoint.tensors].reverse()),
    adapter: checkpoint.adapter,
    variants: { depthwise: 'windows', pointwise: 'tiled' },
    config: { nested: { a: true, b: null }, crop: [0.3, 1], width: 0.25, encoder: 'mobilenet_v1' },
    step: 41,
  };
  assert.equal(writeCheckpoint(turned), writeCheckpoint(checkpoint));
  assert.not.equal(writeCheckpoint({ ...turned, step: 42 }), writeCheckpoint(checkpoint));
});

test('every prefix is refused', () => {
  const bytes = writeCheckpoint(checkpoint);
  for (let length = 0; length < bytes.length; length++) {
    assert.throws(() => readCheckpoint(bytes.slice(0, length), 'c'), refused(/^c: .*(cut short|at least 8 bytes)/));
  }
});

test('foreign metadata is refused with what is wrong', () => {
  const good = { format: 'slimgrad checkpoint 1', step: '3', config: '{}', variants: '{}', adapter: 'a' };
  const cases: [Record<string, string>, RegExp][] = [
    [{}, /safetensors file without a format/],
    [{ format: 'pt' }, /got 'pt'/],
    [{ ...good, format: 'slimgrad checkpoint 2' }, /got 'slimgrad checkpoint 2'/],
    [{ ...good, step: '-1' }, /no valid step/],
    [{ ...good, step: '1e3' }, /no valid step/],
    [{ ...good, step: '9'.repeat(30) }, /no valid step/],
    [{ format: good.format, config: '{}', variants: '{}', adapter: 'a' }, /no valid step/],
    [{ ...good, config: '{' }, /config: expected a JSON object/],
    [{ ...good, config: '[]' }, /config: expected a JSON object/],
    [{ ...good, config: 'null' }, /config: expected a JSON object/],
    [{ ...good, variants: '7' }, /variants: expected a JSON object/],
    [{ ...good, variants: '{"a":{"toString":1}}' }, /expected a name for a, got {"toString":1}/],
  ];
  assert.is(readCheckpoint(writeSafetensors([], good), 'c').step, 3);
  for (const [metadata, message] of cases) {
    assert.throws(() => readCheckpoint(writeSafetensors([], metadata), 'c'), refused(message));
  }
  fc.assert(
    fc.property(fc.dictionary(fc.constantFrom(...Object.keys(good)), fc.oneof(fc.json(), fc.string())), (changes) => {
      try {
        const read = readCheckpoint(writeSafetensors([], { ...good, ...changes }), 'c');
        assert.ok(Number.isSafeInteger(read.step));
      } catch (error) {
        assert.instance(error, DataError);
      }
    }),
  );
});

test('another config is refused with every key that differs, and no other', () => {
  const same = { nested: { a: true, b: null }, crop: [0.3, 1], width: 0.25, encoder: 'mobilenet_v1' };
  checkConfig(checkpoint, same, 'c');
  const other = { ...same, width: 0.5, crop: [0.3, 0.9], seed: 1, nested: { a: true, b: 0 } };
  let message = '';
  try {
    checkConfig(checkpoint, other, 'c', ['seed']);
  } catch (error) {
    assert.instance(error, DataError);
    message = (error as Error).message;
  }
  assert.match(message, 'crop (there [0.3,1], here [0.3,0.9])');
  assert.match(message, 'width (there 0.25, here 0.5)');
  assert.match(message, 'nested (there {"a":true,"b":null}, here {"a":true,"b":0})');
  assert.not.match(message, 'encoder');
  assert.not.match(message, 'seed');
  assert.throws(() => checkConfig(checkpoint, { ...same, seed: 1 }, 'c'), refused(/seed \(there unset, here 1\)/));
});

test('tensors that do not fit are listed, all of them', () => {
  const expected = new Map([
    ['weights', { dtype: 'F32', shape: [2, 2] }],
    ['momentum', { dtype: 'F32', shape: [4] }],
  ]);
  checkTensors(checkpoint.tensors, expected, 'c');
  const other = new Map([
    ['weights', { dtype: 'F32', shape: [4] }],
    ['mean', { dtype: 'F32', shape: [3] }],
  ]);
  assert.throws(
    () => checkTensors(checkpoint.tensors, other, 'c'),
    refused(/^c: .*weights is F32 \(2, 2\), expected F32 \(4\); mean is missing; momentum is not expected$/),
  );
  const short = new Map([...checkpoint.tensors]).set('weights', f32([2, 2], new Float32Array(3)));
  assert.throws(() => checkTensors(short, expected, 'c'), refused(/weights F32 \(2, 2\) has 3 values$/));
});

test.run();
