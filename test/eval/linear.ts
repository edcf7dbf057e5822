import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import { draws, permutation, stream } from '../../src/core/random.js';
import type { Tensors } from '../../src/core/state.js';
import { subset } from '../../src/data/derived.js';
import type { ImageSource } from '../../src/data/source.js';
import { ConfigError, DataError, NonFiniteError } from '../../src/errors.js';
import { type LinearOptions, linearEvaluation } from '../../src/eval/linear.js';
import { pixelEncoder } from '../../src/eval/raw_pixels.js';
import { featuresOf } from '../../src/inference/features.js';
import { ImageEncoder } from '../../src/inference/image_encoder.js';
import type { Device } from '../../src/runtime/device.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { initialState } from '../made_up.js';
import { ofRun } from '../of_run.js';
import { seed } from '../random.js';
import { rejects } from '../rejects.js';
import { quarters, rowsOf64, sgd64, softmax64 } from './made_up.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** A test that gives all memory back. */
function frugal(name: string, run: () => Promise<void>): void {
  test(name, async () => {
    const before = device.allocated;
    await run();
    assert.is(device.allocated, before, 'all memory is given back');
  });
}

const values = (state: Tensors, name: string) => (state.get(name) as { data: Float32Array }).data;
const classes = 3;

/** Linear evaluation as it is written down, in f64: the losses by epoch and the layer in the end. */
function reference(
  rows: Float64Array[],
  labels: ArrayLike<number>,
  options: Required<Pick<LinearOptions, 'epochs' | 'batch' | 'weightDecay' | 'seed' | 'schedule'>> & { lr: number },
) {
  const { epochs, batch, weightDecay, lr, seed, schedule } = options;
  const [N, F] = [rows.length, rows[0].length];
  const random = draws(seed, stream.head);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const w = Float64Array.from({ length: classes * F }, () => Math.fround(normal() * 0.01));
  const b = new Float64Array(classes);
  const [moveWeights, moveBias] = [sgd64(w, { weightDecay }), sgd64(b)];
  const perEpoch = Math.floor(N / batch);
  const losses: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = permutation(N, seed, epoch);
    let sum = 0;
    for (let step = 0; step < perEpoch; step++) {
      const [dw, db] = [new Float64Array(classes * F), new Float64Array(classes)];
      for (const n of order.subarray(step * batch, (step + 1) * batch)) {
        const p = softmax64([0, 1, 2].map((k) => rows[n].reduce((s, x, f) => s + x * w[k * F + f], b[k])));
        sum -= Math.log(p[labels[n]]) / batch;
        p.forEach((share, k) => {
          const d = (share - (k === labels[n] ? 1 : 0)) / batch;
          db[k] += d;
          for (let f = 0; f < F; f++) dw[k * F + f] += d * rows[n][f];
        });
      }
      const progress = (epoch * perEpoch + step) / (epochs * perEpoch);
      const share =
        schedule === 'cosine'
          ? (1 + Math.cos(Math.PI * progress)) / 2
          : progress < 0.6
            ? 1
            : progress < 0.8
              ? 0.1
              : 0.01;
      const now = (share * lr * batch) / 256;
      moveWeights(dw, now);
      moveBias(db, now);
    }
    losses.push(sum / perEpoch);
  }
  return { losses, w, b };
}

for (const schedule of ['step', 'cosine'] as const)
  for (const weightDecay of [0, 0.05])
    frugal(`step by step the f64 solution: ${schedule}, decay ${weightDecay}`, async () => {
      const [train, held] = [quarters(23), quarters(9, { salt: 1 })];
      const encoder = pixelEncoder(device, 4);
      // batches of 23 make every epoch a step; of 7, three and two left over
      for (const batch of [23, 7]) {
        const options = { schedule, weightDecay, batch, lr: 0.5, epochs: 10, seed: seed % 1000 };
        const rows = rowsOf64(await featuresOf(device, encoder, train), 48);
        const expected = reference(rows, train.labels as Int32Array, options);
        const { log, classifier, lr, trials } = await linearEvaluation(device, encoder, train, held, options);
        close(
          log.map(({ loss }) => loss),
          expected.losses,
          `losses, batch ${batch}`,
          1e-5,
        );
        close(values(classifier.state, 'classifier.weight'), expected.w, `weights, batch ${batch}`, 1e-4);
        close(values(classifier.state, 'classifier.bias'), expected.b, `biases, batch ${batch}`, 1e-4);
        assert.equal([lr, trials], [0.5, []]);
      }
      encoder.dispose();
    });

frugal('separable classes are learned to the last image, by features kept, made again, or augmented', async () => {
  const [train, test] = [quarters(48), quarters(30, { salt: 1 })];
  const encoder = pixelEncoder(device, 8);
  const options = { lr: 0.3, epochs: 30, batch: 16, seed: seed % 1000 };
  const kept = await linearEvaluation(device, encoder, train, test, options);
  assert.equal([kept.top1, kept.top5, kept.meanPerClass], [1, 1, 1], `seed ${seed}`);
  assert.equal([...kept.confusion], [10, 0, 0, 0, 10, 0, 0, 0, 10]);
  assert.equal(kept.classes, { names: ['0', '1', '2'], train: [16, 16, 16], test: [10, 10, 10] });
  assert.is(kept.features.length, 30 * 192);
  assert.equal(kept.labels, test.labels);

  const again = await linearEvaluation(device, encoder, train, test, { ...options, cacheBytes: 0 });
  close(
    values(again.classifier.state, 'classifier.weight'),
    values(kept.classifier.state, 'classifier.weight'),
    'made again',
    1e-5,
  );
  const repeated = await linearEvaluation(device, encoder, train, test, options);
  assert.equal(repeated, kept, 'bit for bit');
  const other = await linearEvaluation(device, encoder, train, test, { ...options, seed: options.seed + 1 });
  assert.not.equal(other.log, kept.log);

  const whole = { augment: true, cropMin: 1, flip: 0 }; // a crop that is the image
  const augmented = await linearEvaluation(device, encoder, train, test, { ...options, ...whole });
  close(
    augmented.log.map(({ loss }) => loss),
    kept.log.map(({ loss }) => loss),
    'crops of everything',
    1e-4,
  );
  const cropped = await linearEvaluation(device, encoder, train, test, {
    ...options,
    augment: true,
    cropMin: 0.6,
    flip: 0,
  });
  assert.ok(cropped.top1 > 0.9, `${cropped.top1} (seed ${seed})`);
  assert.not.equal(cropped.log, augmented.log);
  encoder.dispose();
});

frugal('standardized features: the layer that is handed back applies to features as they are', async () => {
  const [train, test] = [quarters(40), quarters(20, { salt: 1 })];
  const encoder = pixelEncoder(device, 4);
  const options = { standardize: true, lr: 0.2, epochs: 8, batch: 10, seed: seed % 1000 };
  const rows = rowsOf64(await featuresOf(device, encoder, train), 48);
  const N = rows.length;
  const mean = rows[0].map((_, f) => rows.reduce((sum, row) => sum + row[f] / N, 0));
  const deviation = rows[0].map((_, f) =>
    Math.sqrt(rows.reduce((sum, row) => sum + (row[f] - mean[f]) ** 2 / N, 0) + 1e-5),
  );
  const expected = reference(
    rows.map((row) => row.map((x, f) => (x - mean[f]) / deviation[f])),
    train.labels as Int32Array,
    { ...options, weightDecay: 0, schedule: 'step' },
  );
  const streamed = { ...options, cacheBytes: 7 * 48 * 4 }; // seven images at a time, and five in the end
  for (const how of [options, streamed]) {
    const { log } = await linearEvaluation(device, encoder, train, test, how);
    close(
      log.map(({ loss }) => loss),
      expected.losses,
      'losses',
      1e-5,
    );
  }
  const found = await linearEvaluation(device, encoder, train, test, { ...options, schedule: undefined });
  const folded = expected.w.map((value, i) => value / deviation[i % 48]);
  close(values(found.classifier.state, 'classifier.weight'), folded, 'weights', 1e-4);
  const moved = expected.b.map((value, k) => mean.reduce((sum, m, f) => sum - m * folded[k * 48 + f], value));
  close(values(found.classifier.state, 'classifier.bias'), moved, 'biases', 1e-4);
  encoder.dispose();
});

frugal(
  'of several learning rates the best on a part of the training images is used, and one that diverges is passed over',
  async () => {
    const [train, test] = [quarters(60, { noise: 200 }), quarters(30, { salt: 1, noise: 200 })];
    const encoder = pixelEncoder(device, 4);
    // the decay of weights that one step made huge is what surely leaves f32's range at the next
    const options = { epochs: 6, batch: 48, weightDecay: 0.1, seed: seed % 1000 };
    const runs: string[] = [];
    const found = await linearEvaluation(device, encoder, train, test, {
      ...options,
      lr: [3e38, 1e-6, 0.1],
      onEpoch: ({ run, runs: of, epoch, epochs }) => epoch === epochs && runs.push(`${run}/${of}`),
    });
    const [diverged, still, good] = found.trials;
    assert.equal([found.lr, diverged.accuracy], [0.1, null]);
    assert.ok((good.accuracy as number) > (still.accuracy as number), `${JSON.stringify(found.trials)} (seed ${seed})`);
    assert.equal(runs, ['2/4', '3/4', '4/4']);
    const alone = await linearEvaluation(device, encoder, train, test, { ...options, lr: 0.1 });
    assert.equal({ ...found, trials: [] }, alone, 'the result is that of a run with it on all training images');
    await rejects(
      () => linearEvaluation(device, encoder, train, test, { ...options, lr: [3e38, 3.2e38] }),
      NonFiniteError,
      /^linear: the loss stays finite with none of the learning rates 3e\+38, 3\.2e\+38/,
    );
    await rejects(
      () => linearEvaluation(device, encoder, train, test, { ...options, lr: 3e38 }),
      NonFiniteError,
      /^linear: the loss of step \d+ is/,
    );
    encoder.dispose();
  },
);

frugal('twins count as images of their own and stay on one side of every split', async () => {
  const single = quarters(40);
  const seen = new Map<number, Set<number>>();
  const twins: ImageSource = {
    ...single,
    images: 2,
    load: async (item, image) => {
      seen.set(item, (seen.get(item) ?? new Set()).add(image));
      return single.load(item, image);
    },
  };
  const encoder = pixelEncoder(device, 4);
  const result = await linearEvaluation(device, encoder, twins, twins, { lr: [0.1, 0.3], epochs: 2, batch: 64 });
  assert.is(result.labels.length, 80);
  assert.equal([...result.labels.subarray(0, 4)], [0, 0, 1, 1]);
  assert.is(
    result.confusion.reduce((sum, count) => sum + count, 0),
    80,
  );
  for (const [item, images] of seen) assert.is(images.size, 2, `item ${item}`);
  await rejects(
    () => linearEvaluation(device, encoder, twins, twins, { lr: [0.1, 0.3], epochs: 2, batch: 80 }),
    ConfigError,
    /^linear: expected a batch from 1 to 68, the images to train on, got 80/, // floor(0.2 x 14), (13), (13) are held out
  );
  encoder.dispose();
});

frugal('slim and host encoders are frozen: they keep their weights and running statistics', async () => {
  const settings = {
    data: 'made up',
    imageSize: 16,
    width: 0.125,
    stemStride: 2,
    blocks: '64/1 128/2',
    projector: 8,
    ratio: 2,
  };
  const config = parseConfig(settings);
  for (const part of ['slim', 'host'] as const) {
    const encoder = new ImageEncoder(device, ofRun(config, await initialState(device, config, part), part));
    const before = await encoder.parameters.read();
    const own = device.allocated;
    for (const augment of [false, true]) {
      const options = { lr: 0.3, epochs: 3, batch: 12, augment };
      const { classifier, features } = await linearEvaluation(
        device,
        encoder,
        quarters(24, { side: 16 }),
        quarters(6, { side: 16 }),
        options,
      );
      assert.is(features.length, 6 * encoder.features);
      assert.equal(classifier.state.get('classifier.weight')?.shape, [3, encoder.features]);
      assert.ok([...classifier.state.values()].every(({ data }) => data.every(Number.isFinite)));
    }
    assert.equal(await encoder.parameters.read(), before);
    assert.is(device.allocated, own);
    encoder.dispose();
  }
});

frugal('an encoder whose weights are not finite is told of as such', async () => {
  const config = parseConfig({
    data: 'made up',
    imageSize: 8,
    width: 0.125,
    stemStride: 2,
    blocks: '64/1',
    projector: 8,
  });
  const state = await initialState(device, config, 'slim');
  state.set('features.0.1.bias', { shape: [4], data: new Float32Array(4).fill(Number.NaN) });
  const message = /^ImageEncoder: its tensors do not fit: features\.0\.1\.bias holds a NaN/;
  await rejects(() => new ImageEncoder(device, ofRun(config, state)), DataError, message);
  // too large weights are numbers, but give features that are none
  state.set('features.0.1.bias', { shape: [4], data: new Float32Array(4).fill(3e38) });
  const encoder = new ImageEncoder(device, ofRun(config, state));
  await rejects(
    () => linearEvaluation(device, encoder, quarters(30), quarters(6), { lr: [0.1, 1], epochs: 1 }),
    DataError,
    /^linear: the encoder's features hold a NaN/,
  );
  encoder.dispose();
});

frugal('what cannot be learned or is out of range is refused by name', async () => {
  const encoder = pixelEncoder(device, 4);
  const good = quarters(12);
  const { labels: _, ...unlabeled } = good;
  const one = { ...good, labels: new Int32Array(12) };
  const run = (train: ImageSource, test: ImageSource, options: LinearOptions = {}, of = encoder) =>
    linearEvaluation(device, of, train, test, { lr: 0.1, epochs: 1, ...options });
  for (const [train, test, message] of [
    [unlabeled, good, /^linear: quarters has no labels/],
    [good, unlabeled, /^linear: quarters has no labels/],
    [one, good, /^linear: quarters has a single class/],
    [good, subset(good, []), /^linear: quarters has no images/],
  ] as const)
    await rejects(() => run(train, test), DataError, message);
  for (const [options, message] of [
    [{ lr: 0 }, /^linear: expected lr to be above 0, got 0/],
    [{ lr: [] }, /^linear: expected lr to be a number, or several, got none/],
    [{ lr: null }, /^linear: expected lr to be a number, or several, got null/],
    [{ schedule: 'steps' }, /^linear: expected schedule to be 'step' or 'cosine', got 'steps'/],
    [{ cacheBytes: -1 }, /^linear: expected cacheBytes of at least 0, got -1/],
    [{ lr: [0.1, Number.NaN] }, /got NaN/],
    [{ epochs: 0 }, /^linear: expected epochs to be a whole number/],
    [{ batch: 13 }, /^linear: expected a batch from 1 to 12, the images to train on, got 13; give a smaller/],
    [{ batch: 0 }, /got 0/],
    [{ seed: -1 }, /^linear: expected seed/],
    [{ weightDecay: -1 }, /^linear: expected weightDecay/],
    [{ validation: 1 }, /^linear: expected validation/],
    [{ cropMin: 0 }, /^linear: expected cropMin/],
    [{ flip: 2 }, /^linear: expected flip/],
    [{ lr: [0.1, 0.2], validation: 0.1 }, /leaves none to choose a learning rate by/],
  ] as const)
    await rejects(() => run(good, good, options as LinearOptions), ConfigError, message);
  const coarse = { ...encoder, backbone: { ...encoder.backbone, stride: 8 } };
  await rejects(
    () => run(good, good, {}, coarse as typeof encoder),
    ConfigError,
    /^linear: expected an imageSize from 8/,
  );
  const broken: ImageSource = {
    ...good,
    load: async (item) => (item === 5 ? Promise.reject(new DataError('torn')) : good.load(item, 0)),
  };
  for (const augment of [false, true]) await rejects(() => run(broken, good, { augment }), DataError, /^torn/);
  encoder.dispose();
});

frugal('a class that is tested and never trained on is counted, not refused', async () => {
  const encoder = pixelEncoder(device, 4);
  const train = quarters(12, { classes: 2 });
  const {
    top1,
    classes: counts,
    confusion,
  } = await linearEvaluation(device, encoder, train, quarters(9), { lr: 0.3, epochs: 20 });
  assert.equal(counts, { names: ['0', '1', '2'], train: [6, 6, 0], test: [3, 3, 3] });
  assert.is(
    confusion.reduce((sum, count) => sum + count, 0),
    9,
  );
  assert.ok(top1 >= 6 / 9, `the classes that it knows: ${top1} (seed ${seed})`);
  encoder.dispose();
});

test.run();
