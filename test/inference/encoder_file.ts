// Encoders in files: what is written is what is read, of a run of the command line and of a program's own.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { encoderNames } from '../../src/config/encoders.js';
import { freeKeys } from '../../src/config/free.js';
import { parseConfig } from '../../src/config/settings.js';
import { parameter } from '../../src/core/parameters.js';
import type { Tensors } from '../../src/core/state.js';
import { type Encoder, slimOf } from '../../src/encoders/encoder.js';
import { ConfigError, DataError } from '../../src/errors.js';
import { exportOnnx } from '../../src/export/onnx.js';
import { readSafetensors, type SavedTensor, writeSafetensors } from '../../src/formats/safetensors.js';
import {
  type EncoderFile,
  metadataOf,
  readEncoder,
  readEncoderOf,
  writeEncoder,
} from '../../src/inference/encoder_file.js';
import { ImageEncoder } from '../../src/inference/image_encoder.js';
import { encoderOf } from '../../src/inference/run_file.js';
import { shapesOf } from '../../src/inference/state_dict.js';
import type { Classifier } from '../../src/nn/classifier.js';
import { constant } from '../../src/nn/init.js';
import { numel } from '../../src/tensor/tensor.js';
import { ofRun } from '../of_run.js';
import { ownEncoder } from '../own_encoder.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

const random = generator();
const integer = (most: number) => Math.floor(random() * most);
const oneOf = <T>(values: readonly T[]): T => values[integer(values.length)];

const stateOf = (encoder: Encoder): Tensors =>
  new Map(Array.from(shapesOf(encoder), ([name, shape]) => [name, { shape, data: randoms(random, numel(shape)) }]));

/** A network of any names and shapes, which is never run. */
function anyEncoder(): Encoder {
  const group = () => ({ host: 1 + integer(9), slim: 1 });
  const groups = Array.from({ length: 1 + integer(4) }, group);
  const names = [
    'fc.weight',
    'fc.bias',
    'w',
    'image',
    'a.running_mean',
    'größe',
    '',
    'norm.num_batches_tracked',
    '"x"',
  ];
  const shuffled = names.map((name) => ({ name, at: random() })).sort((a, b) => a.at - b.at);
  const taken = shuffled.slice(0, 1 + integer(names.length)).map(({ name }) => name);
  const sides = () => Array.from({ length: integer(4) }, () => (random() < 0.3 ? 1 + integer(3) : oneOf(groups)));
  return {
    parameters: taken.map((name) => parameter(name, sides(), constant(0))),
    statistics: random() < 0.5 ? [{ name: 'b.running_mean', channels: oneOf(groups), init: 0 }] : [],
    features: oneOf(groups),
    stride: 1 + integer(8),
    forward: (_pass, x) => x,
  };
}

function anyClassifier({ features: { host: F } }: Encoder): Classifier {
  const K = 1 + integer(4);
  const state: Tensors = new Map([
    ['classifier.weight', { shape: [K, F], data: randoms(random, K * F) }],
    ['classifier.bias', { shape: [K], data: randoms(random, K) }],
  ]);
  return { classes: Array.from({ length: K }, (_, k) => `"${k}", ü`), state };
}

/** What may stand beside any encoder. */
function anyRest(encoder: Encoder) {
  const imageSize = encoder.stride + integer(90);
  return {
    imageSize,
    step: oneOf([0, 1, integer(1e6), 999_999_999_999_999]),
    ...(random() < 0.5 && { square: oneOf([{}, { resize: imageSize + 3 }, { interpolation: 'bilinear' } as const]) }),
    ...(random() < 0.5 && { classifier: anyClassifier(encoder) }),
    metadata: oneOf<Record<string, string>>([{}, { made: 'here', note: '' }]),
  };
}

/** In the order that a file has. */
const sorted = ({ state, classifier, ...rest }: EncoderFile) => ({
  ...rest,
  state: [...state].sort(([a], [b]) => (a < b ? -1 : 1)),
  classifier: classifier && { ...classifier, state: [...classifier.state].sort(([a], [b]) => (a < b ? -1 : 1)) },
});

test("a program's own encoder is read as it was written, byte for byte again", () => {
  for (let i = 0; i < 200; i++) {
    const encoder = anyEncoder();
    const part = oneOf(['host', 'slim', undefined] as const);
    const file: EncoderFile = { encoder, state: stateOf(encoder), ...anyRest(encoder), ...(part && { part }) };
    const bytes = writeEncoder(file);
    const read = readEncoder(bytes, { encoder });
    assert.equal(sorted(read), sorted(file), `seed ${seed}`);
    assert.equal(readEncoderOf(encoder, bytes), read, `seed ${seed}`);
    assert.equal(writeEncoder(read), bytes, `seed ${seed}`);
  }
});

test("a run's encoder is read as it was written, byte for byte again, with the encoder at hand or without", () => {
  for (const name of encoderNames)
    for (const part of ['slim', 'host'] as const) {
      const config = parseConfig({ data: 'made up', encoder: name, width: 0.125, ratio: 2, projector: 16 });
      const encoder = encoderOf(config, part);
      const file = { ...ofRun(config, stateOf(encoder), part), ...anyRest(encoder) };
      const bytes = writeEncoder(file);
      const read = readEncoder(bytes);
      const { encoder: built, ...rest } = sorted(read);
      const { encoder: _, ...expected } = sorted(file);
      assert.equal(rest, expected, `seed ${seed}`);
      assert.equal(shapesOf(built), shapesOf(encoder));
      assert.equal(writeEncoder(read), bytes);
      const given = readEncoder(bytes, { encoder });
      assert.is(given.encoder, encoder);
      assert.equal(writeEncoder(given), bytes);
      const { config: _config, ...lean } = given;
      assert.equal(readEncoderOf(encoder, bytes), lean);
    }
});

test("a run's file has the bytes that it had before there were others", () => {
  const config = parseConfig({ data: 'made up', width: 0.25, blocks: '64/1 128/2', projector: 16, out: 'elsewhere' });
  const file = {
    ...ofRun(config, stateOf(encoderOf(config, 'slim'))),
    step: 31,
    metadata: { trained: 'AQ==', data: '{}' },
  };
  const kept = Object.fromEntries(Object.entries(config).filter(([key]) => !freeKeys.includes(key as 'out')));
  const about = { part: 'slim', step: '31', config: JSON.stringify(kept), data: '{}', trained: 'AQ==' };
  const tensors: [string, SavedTensor][] = [];
  for (const [name, { shape, data }] of file.state) {
    tensors.push([name, { dtype: 'F32', shape, data: data as Float32Array<ArrayBuffer> }]);
    if (name.endsWith('.running_mean'))
      tensors.push([
        name.replace('running_mean', 'num_batches_tracked'),
        { dtype: 'I64', shape: [], data: BigInt64Array.of(31n) },
      ]);
  }
  assert.equal(writeEncoder(file), writeSafetensors(tensors, { ...about, format: 'slimgrad encoder 1' }));
  assert.equal(metadataOf(file), readSafetensors(writeEncoder(file), 'file').metadata);
  assert.ok(!JSON.stringify(metadataOf(file)).includes('elsewhere'));
});

test('a file of earlier settings keeps their text, whatever is written beside them', () => {
  const text = '{"data":"made up", "width":0.25,"blocks":"64/1","projector":16}'; // neither complete nor as we space it
  const config = parseConfig(JSON.parse(text));
  const state = stateOf(encoderOf(config, 'slim'));
  const bytes = writeSafetensors(state, { format: 'slimgrad encoder 1', part: 'slim', config: text });
  const read = readEncoder(bytes);
  assert.is(read.step, 0);
  assert.equal(read.config, config);
  const again = writeEncoder({ ...read, metadata: { note: 'mine' } });
  assert.equal(readSafetensors(again, 'again').metadata, {
    config: text,
    format: 'slimgrad encoder 1',
    note: 'mine',
    part: 'slim',
    step: '0',
  });
});

const own = ownEncoder({ channels: { host: 6, slim: 4 }, features: { host: 5, slim: 3 } });
const file = (): EncoderFile => ({ encoder: own, state: stateOf(own), imageSize: 16, step: 2, metadata: {} });

test("a program's own encoder needs that program's network, and no other", async () => {
  const bytes = writeEncoder(file());
  assert.throws(
    () => readEncoder(bytes, { file: 'own.safetensors' }),
    (error: Error) =>
      error instanceof DataError &&
      error.message ===
        "own.safetensors: this file's encoder is a program's own; open it with openEncoder(device, bytes, { encoder })",
  );
  const wider = ownEncoder({ channels: { host: 7, slim: 4 }, features: { host: 5, slim: 3 } });
  const named = ownEncoder({ channels: { host: 6, slim: 4 }, features: { host: 5, slim: 3 }, name: 'other' });
  for (const [encoder, ...parts] of [
    [wider, 'own.stem.weight is F32 (6, 3, 3, 3), expected F32 (7, 3, 3, 3)', 'gain is F32 (6), expected F32 (7)'],
    [named, 'other.stem.weight is missing', 'own.stem.weight is not expected'],
    [slimOf(own), 'fc.bias is F32 (5), expected F32 (3)'],
  ] as const)
    for (const part of parts)
      for (const read of [() => readEncoder(bytes, { encoder, file: 'f' }), () => readEncoderOf(encoder, bytes, 'f')])
        assert.throws(
          read,
          (error: Error) =>
            error instanceof DataError && error.message.startsWith('f: ') && error.message.includes(part),
          part,
        );
  await rejects(
    () => readEncoder(bytes, { encoder: { ...own, stride: 4 } }),
    DataError,
    /^encoder: expected the digest/,
  );
});

test('what is no file of an encoder, or says what cannot be, is refused by name', async () => {
  const { state } = file();
  const about = { ...metadataOf(file()) };
  const made = (more: Record<string, string>) => writeSafetensors(state, { ...about, ...more });
  assert.is(readEncoder(made({}), { encoder: own }).step, 2);
  for (const [more, message] of [
    [{ format: 'slimgrad encoder 2' }, /^f: expected an encoder of slimgrad \(format "slimgrad encoder 1"\), got "/],
    [{ part: 'middle' }, /^f: expected an encoder of slimgrad/],
    [{ step: '-1' }, /^f: expected an encoder of slimgrad/],
    [{ imageSize: '1.5' }, /^f: expected an imageSize from 1 to 1024 in its metadata, got 1.5/],
    [{ imageSize: '' }, /^f: expected an imageSize/],
    [{ imageSize: '4000' }, /^f: expected an imageSize/],
    [{ square: '[' }, /^f: its "square": expected an object, got \[/],
    [{ square: 'null' }, /^f: its "square": expected an object/],
    [{ square: '{"resize": 8}' }, /^f: its "square": resize: expected whole pixels from 16/],
    [{ digest: 'ffffffff' }, /^f: expected the digest of its encoder's names and shapes, [0-9a-f]{8}, got ffffffff/],
    [{ config: 'no' }, /^f: expected an encoder of slimgrad/], // a run says which part of it
    [{ config: 'no', part: 'slim' }, /^f: its configuration is not JSON/],
    [{ config: '{"data": 1}', part: 'slim' }, /^f: its configuration: data/],
  ] as const)
    for (const read of [
      () => readEncoder(made(more), { encoder: own, file: 'f' }),
      ...('config' in more && 'part' in more ? [] : [() => readEncoderOf(own, made(more), 'f')]), // it reads no settings
    ])
      await rejects(read, DataError, message);
});

test('what could not be read again is not written', async () => {
  const config = parseConfig({ data: 'made up', width: 0.125, blocks: '64/1', projector: 16 });
  const classifier = anyClassifier(own);
  const clash = parameter('classifier.weight', [own.features], constant(0));
  const odd = { ...own, parameters: [...own.parameters, clash] };
  for (const [change, kind, message] of [
    [{ imageSize: 1 }, ConfigError, /^writeEncoder: expected an imageSize from 2/],
    [{ square: { resize: 3 } }, ConfigError, /^resize: expected whole pixels from 16/],
    [{ step: 1.5 }, ConfigError, /^writeEncoder: expected a whole step/],
    [{ step: -1 }, ConfigError, /^writeEncoder: expected a whole step/],
    [{ step: 1e15 }, ConfigError, /^writeEncoder: expected a whole step/],
    [{ part: 'middle' as 'slim' }, ConfigError, /^writeEncoder: expected part host or slim, got middle/],
    [{ config }, ConfigError, /^writeEncoder: expected the part of its run, host or slim, with a config/],
    [{ metadata: { step: '3' } }, ConfigError, /^writeEncoder: expected metadata without .*"step"; remove it/],
    [{ encoder: odd, state: stateOf(odd) }, ConfigError, /^writeEncoder: expected other names than classifier/],
    [{ state: new Map([...stateOf(own)].slice(1)) }, DataError, /^writeEncoder: .*own\.stem\.weight is missing/],
    [{ classifier: { ...classifier, classes: [] } }, DataError, /^writeEncoder: expected the names of its classifier/],
    [{ classifier: { ...classifier, state: new Map() } }, DataError, /^writeEncoder: .*classifier\.weight is missing/],
  ] as const)
    await rejects(() => writeEncoder({ ...file(), ...change }), kind, message);
});

test('what is no encoder is refused where one is expected', async () => {
  const { state } = file();
  for (const wrong of [undefined, null, 'resnet18', {}, { ...own, stride: undefined }, { ...own, features: 5 }]) {
    const given = { ...file(), encoder: wrong as never };
    const message = /: expected an encoder, a module with features and stride, got/;
    await rejects(() => writeEncoder(given), ConfigError, message);
    await rejects(() => exportOnnx(given), ConfigError, message);
    await rejects(() => new ImageEncoder(undefined as never, given), ConfigError, message);
    await rejects(() => readEncoderOf(wrong as never, writeEncoder(file())), ConfigError, message);
    if (wrong !== undefined)
      await rejects(() => readEncoder(writeEncoder(file()), { encoder: wrong as never }), ConfigError, message);
  }
  await rejects(() => writeEncoder(state as never), ConfigError, /files hold one as \{ encoder, state, imageSize \}/);
});

test.run();
