// An encoder of a program's own, of no configuration: saved, opened, recalibrated, evaluated in every way, trained with labels.
import * as ort from 'onnxruntime-web';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters } from '../../src/core/parameters.js';
import { slimOf } from '../../src/encoders/encoder.js';
import { DataError } from '../../src/errors.js';
import { finetune } from '../../src/eval/finetune.js';
import { linearEvaluation } from '../../src/eval/linear.js';
import { exportOnnx } from '../../src/export/onnx.js';
import { type EncoderFile, readEncoder, writeEncoder } from '../../src/inference/encoder_file.js';
import { openClassifier } from '../../src/inference/image_classifier.js';
import { ImageEncoder, openEncoder } from '../../src/inference/image_encoder.js';
import { deviceKnn, knn } from '../../src/metrics/knn.js';
import { retrieval } from '../../src/metrics/retrieval.js';
import type { Device } from '../../src/runtime/device.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { ownEncoder } from '../own_encoder.js';
import { generator, seed } from '../random.js';
import { rejects } from '../rejects.js';
import { features, randomInput } from '../train/trained.js';
import { quarters } from './made_up.js';

let device: Device;
test.before(async () => {
  ort.env.wasm.numThreads = 1;
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();
const host = ownEncoder({ channels: { host: 12, slim: 8 }, features: { host: 9, slim: 6 } });
const [train, held] = [quarters(36), quarters(18, { salt: 1 })];

/** The slim encoder of first weights, as it is cut out of its host. */
async function slimFile(): Promise<EncoderFile> {
  const parameters = new Parameters(device, host.parameters, host.statistics);
  parameters.initialize(random);
  const state = await parameters.state(host, 'slim');
  parameters.dispose();
  return { encoder: slimOf(host), state, imageSize: 8, square: { resize: 9 }, step: 4, part: 'slim', metadata: {} };
}

test('it is saved and opened, and embeds and recalibrates as before', async () => {
  const before = device.allocated;
  const file = await slimFile();
  const { encoder } = file;
  const bytes = writeEncoder(file);
  using made = new ImageEncoder(device, file);
  using opened = openEncoder(device, bytes, { encoder });
  assert.is(opened.backbone, encoder);
  assert.equal([opened.features, opened.imageSize, opened.square], [6, 8, { resize: 9 }]);
  const rows = await made.embed(held);
  assert.equal(await opened.embed(held), rows);

  await opened.recalibrate(train);
  assert.not.equal(await opened.embed(held), rows);
  const again = writeEncoder({ ...readEncoder(bytes, { encoder }), state: await opened.state() });
  using reopened = openEncoder(device, again, { encoder });
  assert.equal(await reopened.embed(held), await opened.embed(held));

  await rejects(
    () => openEncoder(device, bytes, { file: 'f' }),
    DataError,
    /^f: this file's encoder is a program's own;/,
  );
  await rejects(() => openClassifier(device, bytes), DataError, /^classifier: this file's encoder is a program's own;/);
  await rejects(() => openClassifier(device, bytes, { encoder }), DataError, /^classifier: .*got an encoder alone/);
  await rejects(() => openEncoder(device, bytes, { encoder: host }), DataError, /^encoder: its tensors do not fit/);
  for (const each of [made, opened, reopened]) each.dispose();
  assert.is(device.allocated, before);
});

test('neighbors and twins are sought among its embeddings', async () => {
  using encoder = new ImageEncoder(device, await slimFile());
  await encoder.recalibrate(train);
  const [data, asked] = [await encoder.embed(train), await encoder.embed(held)];
  const [bank, queries] = [
    { data, labels: train.labels as Int32Array },
    { data: asked, labels: held.labels as Int32Array },
  ];
  const { accuracy } = knn(bank, queries, encoder.features, { k: 3 });
  const onDevice = await deviceKnn(device, bank, queries, encoder.features, { k: 3 });
  assert.ok(Math.abs(accuracy - onDevice.accuracy) < 0.1, `${accuracy} and ${onDevice.accuracy} (seed ${seed})`);
  assert.equal(retrieval(asked, asked, encoder.features), { top1: 1, top5: 1, count: held.length });
});

test('a layer behind it, and it itself, learn classes; what they become is saved, opened, exported', async () => {
  const file = await slimFile();
  const { encoder } = file;
  using frozen = new ImageEncoder(device, file);
  await frozen.recalibrate(train);
  const options = { lr: 1, epochs: 20, batch: 12, seed: seed % 1000 };
  const linear = await linearEvaluation(device, frozen, train, held, options);
  const tuned = await finetune(device, frozen, train, held, { ...options, cropMin: 0.8, flip: 0 });
  for (const [{ top1, labels, features, classifier }, state] of [
    [linear, await frozen.state()],
    [tuned, tuned.state],
  ] as const) {
    const saved = { ...file, state, classifier };
    using opened = openClassifier(device, writeEncoder(saved), { encoder });
    assert.equal(opened.classes, ['0', '1', '2']);
    const found = await opened.classify(held);
    const right = found.labels.filter((label, i) => label === labels[i]).length;
    assert.is(right / labels.length, top1, `seed ${seed}`);
    assert.equal(await opened.encoder.embed(held), features);
    const session = await ort.InferenceSession.create(exportOnnx(saved));
    assert.equal(session.outputNames, ['features', 'logits']);
    const input = randomInput(random, 3, 8);
    const output = await session.run({ image: new ort.Tensor('float32', input.images, input.shape) });
    close(output.features.data as Float32Array, await rowsOf(saved, input), 'features', 3e-5);
    assert.equal(output.logits.dims, [3, 3]);
    await session.release();
  }
  assert.ok(tuned.top1 > 0.5, `${tuned.top1} of thirds is learned (seed ${seed})`);
});

const rowsOf = ({ encoder, state }: EncoderFile, input: ReturnType<typeof randomInput>) =>
  features(device, encoder, state, input);

test.run();
