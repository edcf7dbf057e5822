import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, type EncoderName } from '../../src/config/encoders.js';
import type { Tensors } from '../../src/core/state.js';
import { DataError } from '../../src/errors.js';
import { f32, type SavedTensor } from '../../src/formats/safetensors.js';
import { findState, shapesOf } from '../../src/inference/state_dict.js';
import { namingsOf } from '../../src/inference/torchvision.js';
import { numel } from '../../src/tensor/tensor.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

const random = generator();
const network = (encoder: EncoderName) => backbone({ encoder, width: 0.125, ratio: 1, stemStride: 2, blocks: null });

function stateOf(encoder: EncoderName): Tensors {
  const shapes = shapesOf(network(encoder));
  return new Map(
    [...shapes].map(([name, shape]) => [name, { shape: [...shape], data: randoms(random, numel(shape)) }]),
  );
}

/** A state dict: `state` under `prefix`, its names changed by `rename`, and `more` of one number each. */
function saved(
  state: Tensors,
  prefix = '',
  more: readonly string[] = [],
  rename = (name: string) => name,
): Map<string, SavedTensor> {
  return new Map<string, SavedTensor>([
    ...[...state].map(([name, { shape, data }]) => [prefix + rename(name), f32(shape, data)] as const),
    ...more.map((name) => [name, f32([1], Float32Array.of(9))] as const),
  ]);
}

const find = (encoder: EncoderName, file: ReadonlyMap<string, SavedTensor>, prefix?: string) =>
  findState(network(encoder), file, { what: encoder, namings: namingsOf(encoder), prefix }, 'f');

test('an encoder is found under any prefix, whatever else is saved with it', () => {
  const prefixes = [
    '',
    'module.',
    '_orig_mod.',
    'model.',
    'module.backbone.',
    'state_dict.model.net.',
    'encoder_q.',
    'ä/b.',
    '.',
  ];
  for (const encoder of ['resnet18', 'mobilenet_v1', 'mobilenet_v3_large'] as const) {
    const state = stateOf(encoder);
    for (const prefix of prefixes) {
      const more = [
        'fc.weight',
        'classifier.0.weight',
        'head.bias',
        'projector.0.weight',
        'conv1.bias.steps',
        'queue',
        'bias',
      ];
      const counters = [...state.keys()]
        .filter((name) => name.endsWith('.running_var'))
        .map((name) => prefix + name.replace('running_var', 'num_batches_tracked'));
      const kept = prefix === '' ? more.filter((name) => !/^conv1/.test(name)) : more;
      const file = saved(state, prefix, [...counters, ...kept, `${prefix}fc.weight`]);
      assert.equal(find(encoder, file), state, `${encoder} under '${prefix}'`);
      assert.equal(find(encoder, file, prefix), state);
    }
  }
});

test('parts of a network that were put into an nn.Sequential are found by their numbers', () => {
  const order = ['conv1', 'bn1', '', '', 'layer1', 'layer2', 'layer3', 'layer4', 'features'];
  for (const encoder of ['resnet18', 'resnet50', 'efficientnet_b0'] as const) {
    const state = stateOf(encoder);
    const rename = (name: string) => name.replace(/^\w+/, (part) => String(order.indexOf(part) % 8));
    assert.equal(find(encoder, saved(state, 'backbone.', ['projection_head.0.weight'], rename)), state);
  }
});

test('of two encoders the prefix says which is meant; without one both are named', async () => {
  const [query, key] = [stateOf('resnet18'), stateOf('resnet18')];
  const both = new Map([...saved(query, 'module.encoder_q.'), ...saved(key, 'module.encoder_k.')]);
  assert.equal(find('resnet18', both, 'module.encoder_q.'), query);
  assert.equal(find('resnet18', both, 'module.encoder_k.'), key);
  await rejects(
    () => find('resnet18', both),
    DataError,
    /^f: expected one resnet18, got 2, under the prefixes 'module\.encoder_q\.', 'module\.encoder_k\.'; name .*\(--prefix\)$/,
  );
  both.delete('module.encoder_k.conv1.weight');
  assert.equal(find('resnet18', both), query);
  await rejects(
    () => find('resnet18', both, 'module.encoder_k.'),
    DataError,
    /; 1 missing: module\.encoder_k\.conv1\.w/,
  );
  await rejects(() => find('resnet18', both, 'encoder_q.'), DataError, /; 100 missing: .* begin with 'module\.'; /);
});

test('a deeper network is not taken for the shallower one that it holds', async () => {
  await rejects(
    () => find('resnet50', saved(stateOf('resnet101'), 'module.')),
    DataError,
    /^f: expected the 265 tensors of resnet50; 255 more than it has: module\.layer3\.6\.conv1\.weight, .*, …; another/,
  );
});

test('what does not fit is told in a few words: what is missing, both shapes, how names begin', async () => {
  const state = stateOf('resnet18');
  const trunk = saved(state, '', [], (name) => `trunk.${name.replace('.', '_')}`);
  await rejects(
    () => find('resnet18', trunk),
    DataError,
    /^f: expected the 100 tensors of resnet18; 100 missing: conv1\.weight, [^,]+, [^,]+, …; its names begin with 'trunk\.'; another encoder \(--encoder\) or width \(--width\) may be meant$/,
  );
  await rejects(
    () => find('resnet18', new Map()),
    DataError,
    /100 missing: .*; its names begin with nothing, it has none; /,
  );
  const wide = backbone({ encoder: 'resnet18', width: 0.25, ratio: 1, stemStride: 2, blocks: null });
  await rejects(
    () => findState(wide, saved(state, 'm.'), { what: 'resnet18 of width 0.25' }, 'f'),
    DataError,
    /^f: expected the 100 tensors of resnet18 of width 0.25; 100 of other shapes: m\.conv1\.weight is \(8, 3, 7, 7\), expected \(16, 3, 7, 7\); .*; .*; …; another .*width/,
  );
  const names = Array.from({ length: 5000 }, (_, i) => `${'x'.repeat(i)}.weight`);
  try {
    find('mobilenet_v1', saved(new Map(), '', names));
    assert.unreachable('expected a DataError');
  } catch (error) {
    assert.ok((error as Error).message.length < 600, (error as Error).message);
  }
});

test('only the tensors of the encoder need be numbers', async () => {
  const state = stateOf('resnet18');
  const file = saved(state, 'net.');
  const whole: SavedTensor = { dtype: 'I64', shape: [], data: BigInt64Array.of(3n) };
  file.set('net.fc.step', whole).set('net.bn1.num_batches_tracked', whole);
  assert.equal(find('resnet18', file), state);
  file.set('net.bn1.bias', { dtype: 'I32', shape: [8], data: new Int32Array(8) });
  await rejects(
    () => find('resnet18', file),
    DataError,
    /^f: net\.bn1\.bias: expected a tensor of F32, F16, BF16 or F64, got I32/,
  );
});

test('names of a million parts are searched without end', async () => {
  const file = saved(new Map(), '', ['a.'.repeat(1e6), '.'.repeat(1e6), `${'.'.repeat(1e6)}conv1.weight`]);
  await rejects(() => find('resnet18', file), DataError, /; 100 missing/);
});

test.run();
