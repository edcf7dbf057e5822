import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import type { Tensors } from '../../src/core/state.js';
import { DataError, NonFiniteError } from '../../src/errors.js';
import { writeSafetensors } from '../../src/formats/safetensors.js';
import { readEncoder } from '../../src/inference/encoder_file.js';
import { ImageClassifier, openClassifier } from '../../src/inference/image_classifier.js';
import { ImageEncoder, openEncoder } from '../../src/inference/image_encoder.js';
import type { Classifier } from '../../src/nn/classifier.js';
import type { Device } from '../../src/runtime/device.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { initialState } from '../made_up.js';
import { ofRun } from '../of_run.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

const settings = { data: 'made up', imageSize: 16, width: 0.125, stemStride: 2, blocks: '64/1 128/2', projector: 8 };
const config = parseConfig(settings);
const classes = ['ants', 'bees', 'one, "quoted"'];
let device: Device;
let encoder: Tensors;
let features: number;
test.before(async () => {
  device = await openTestDevice();
  encoder = await initialState(device, config, 'slim');
  const opened = new ImageEncoder(device, ofRun(config, encoder));
  features = opened.features;
  opened.dispose();
});
test.after(() => device.dispose());

const random = generator();
const imageOf = (width: number, height: number) => ({
  width,
  height,
  pixels: Uint8Array.from({ length: width * height * 4 }, () => 256 * random()),
});

const layer = (K: number, F: number): Tensors =>
  new Map([
    ['classifier.weight', { shape: [K, F], data: randoms(random, K * F, 0.3, 2) }],
    ['classifier.bias', { shape: [K], data: randoms(random, K, -0.2, 1) }],
  ]);

/** A layer of three classes whose logits vary about 0 over `rows`, so that each has some. */
function dividing(rows: Float32Array): Tensors {
  const state = layer(3, features);
  const [{ data: weight }, { data: bias }] = state.values();
  bias.fill(0);
  for (let i = 0; i < rows.length; i++)
    for (const k of bias.keys()) bias[k] -= (rows[i] * weight[k * features + (i % features)] * features) / rows.length;
  return state;
}

const file = (state: Tensors, more: Record<string, string> = {}) =>
  writeSafetensors([...encoder, ...state], {
    format: 'slimgrad encoder 1',
    part: 'slim',
    step: '3',
    config: JSON.stringify(config),
    ...more,
  });

/** softmax(features · weightᵀ + bias) in f64. */
function probabilities64(rows: Float32Array, state: Tensors): Float64Array {
  const [weight, bias] = ['weight', 'bias'].map((name) => state.get(`classifier.${name}`)!.data);
  const K = bias.length;
  const F = weight.length / K;
  const N = rows.length / F;
  return Float64Array.from({ length: N * K }, (_, i) => i).map((i) => {
    const n = Math.floor(i / K);
    const powers = Array.from(bias, (b, k) => {
      let sum = b;
      for (let f = 0; f < F; f++) sum += rows[n * F + f] * weight[k * F + f];
      return Math.exp(sum);
    });
    return powers[i % K] / powers.reduce((a, b) => a + b, 0);
  });
}

test('images are classified as f64 has it, from a file, in more than one batch, none as none', async () => {
  const before = device.allocated;
  const images = Array.from({ length: 259 }, (_, i) => imageOf(1 + (i % 7), 1 + (i % 5)));
  const lone = new ImageEncoder(device, ofRun(config, encoder));
  const rows = await lone.embed(images);
  const state = dividing(rows);
  const bytes = file(state, { classes: JSON.stringify(classes) });
  const classifier = openClassifier(device, bytes);
  assert.equal(classifier.classes, classes);
  const none = await classifier.classify([]);
  assert.equal([none.labels.length, none.probabilities.length], [0, 0]);

  const { labels, probabilities } = await classifier.classify(images);
  close(probabilities, probabilities64(rows, state), 'probabilities', 1e-5);
  const read = openEncoder(device, bytes);
  assert.equal(await read.embed(images), rows, 'the encoder of the same file');
  assert.is(labels.length, images.length);
  const { width, height, pixels } = images[5];
  const image = { width, height, data: Uint8ClampedArray.from(pixels), colorSpace: 'srgb' };
  const imaged = await classifier.classify([image]);
  const K = imaged.probabilities.length;
  assert.equal(imaged.probabilities, probabilities.slice(5 * K, 6 * K), 'of ImageData');
  for (const [n, label] of labels.entries()) {
    const row = probabilities.subarray(3 * n, 3 * n + 3);
    assert.is(row[label], Math.max(...row));
    assert.ok(Math.abs(row.reduce((a, b) => a + b, 0) - 1) < 1e-6);
  }
  assert.ok(new Set(labels).size > 1, 'not all are taken for one class');
  for (const opened of [classifier, read, lone]) opened.dispose();
  assert.is(device.allocated, before);
});

test('logits beyond what exp can hold are no matter, a NaN is named', async () => {
  const make = (bias: number[]): Classifier => {
    const state = layer(bias.length, features);
    state.get('classifier.bias')!.data.set(bias);
    return { classes: bias.map(String), state };
  };
  for (const bias of [
    [1000, 0, -1000],
    [-1000, -2000],
  ]) {
    using classifier = new ImageClassifier(device, new ImageEncoder(device, ofRun(config, encoder)), make(bias));
    const { labels, probabilities } = await classifier.classify([imageOf(9, 9)]);
    assert.is(labels[0], 0);
    close(probabilities, [1, ...bias.slice(1).map(() => 0)], 'probabilities', 1e-6);
  }
  using broken = new ImageClassifier(device, new ImageEncoder(device, ofRun(config, encoder)), make([0, Number.NaN]));
  await rejects(() => broken.classify([imageOf(9, 9)]), NonFiniteError, /classify: the logits of image 0 hold a NaN/);
});

test('the numbers of classes without names, and what is no classifier', () => {
  const state = layer(2, features);
  assert.equal(readEncoder(file(state)).classifier, { classes: ['0', '1'], state });
  assert.is(readEncoder(file(new Map())).classifier, undefined);
  assert.throws(
    () => openClassifier(device, file(new Map()), { file: 'slim.safetensors' }),
    /^slim.safetensors: expected a classifier behind the encoder, got an encoder alone; train one .* slimgrad finetune/,
  );
  for (const names of ['["a"]', '["a", 2]', '{"a": 1}', 'a, b'])
    assert.throws(
      () => readEncoder(file(state, { classes: names }), { file: 'x' }),
      (error: Error) => error instanceof DataError && /names of its classifier's 2 classes/.test(error.message),
      names,
    );
  const [weight, bias] = [...state];
  for (const [tensors, message] of [
    [[weight], /classifier\.bias/],
    [[bias], /classifier\.weight/],
    [[...layer(2, features + 1)], /classifier\.weight/],
    [[weight, bias, ['classifier.other', bias[1]]], /classifier\.other/],
  ] as const)
    assert.throws(
      () => readEncoder(file(new Map(tensors)), { file: 'x' }),
      (error: Error) => error instanceof DataError && message.test(error.message),
      String(message),
    );
});

test.run();
