import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import { Parameters } from '../../src/core/parameters.js';
import { draws, permutation, stream } from '../../src/core/random.js';
import type { Tensors } from '../../src/core/state.js';
import { Tape } from '../../src/core/tape.js';
import { Loader } from '../../src/data/loader.js';
import { ConfigError, ShapeError } from '../../src/errors.js';
import { cropAndFlip } from '../../src/eval/feed.js';
import { finetune } from '../../src/eval/finetune.js';
import { pixelEncoder } from '../../src/eval/raw_pixels.js';
import { featuresOf, type WeightedEncoder } from '../../src/inference/features.js';
import { ImageEncoder } from '../../src/inference/image_encoder.js';
import { linearLayer } from '../../src/nn/blocks.js';
import { activation } from '../../src/ops/activation.js';
import { augment } from '../../src/ops/augment.js';
import { softmaxCrossEntropy } from '../../src/ops/softmax.js';
import { learningRate } from '../../src/optim/schedule.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { tensor } from '../../src/tensor/tensor.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { initialState } from '../made_up.js';
import { ofRun } from '../of_run.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';
import { quarters, rowsOf64, sgd64, softmax64 } from './made_up.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const values = (state: Tensors, name: string) => (state.get(name) as { data: Float32Array }).data;
const classes = 3;
const config = parseConfig({
  data: 'made up',
  imageSize: 8,
  width: 0.125,
  stemStride: 1,
  blocks: '64/1 128/2',
  projector: 8,
  ratio: 2,
  seed: seed % 1000,
});

async function encoderOf(part: 'slim' | 'host'): Promise<ImageEncoder> {
  return new ImageEncoder(device, ofRun(config, await initialState(device, config, part), part));
}

/** An encoder that is one layer: h = silu(W x + c) of the pixels x. */
function layered(size: number, units: number): WeightedEncoder & { dispose(): void } {
  const pixels = 3 * size * size;
  const layer = linearLayer('features.0', { host: pixels, slim: pixels }, units);
  const parameters = new Parameters(device, layer.parameters, [], { bn: 'shared' });
  const random = generator();
  parameters.write('features.0.weight', randoms(random, units * pixels, 0, 0.2));
  parameters.write('features.0.bias', randoms(random, units, 0.1, 0.2));
  return {
    backbone: {
      ...layer,
      features: { host: units, slim: units },
      stride: 1,
      forward: (pass, x) =>
        activation(pass.tape, layer.forward(pass, pass.tape.reshape(x, [x.shape[0], pixels])), 'silu'),
    },
    parameters,
    imageSize: size,
    dispose: () => parameters.dispose(),
  };
}

test('every weight moves as in f64: a layer and the classifier behind it, Nesterov, cosine, decay of matrices alone', async () => {
  const [size, units, F, epochs, batch, lr, weightDecay] = [4, 5, 48, 3, 7, 2, 0.03];
  // no larger than the view, so that training sees the very pixels of evaluation, which rounds what it resizes
  const train = quarters(23, { side: size });
  const encoder = layered(size, units);
  const pixels = pixelEncoder(device, size);
  const rows = rowsOf64(await featuresOf(device, pixels, train), F);
  pixels.dispose();
  const labels = train.labels as Int32Array;
  const start = await encoder.parameters.read();

  const random = draws(seed % 1000, stream.head);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  for (let i = 0; i < units * F + units; i++) random(); // the layer's own first weights, which are not used
  const v = Float64Array.from({ length: classes * units }, () => Math.fround(normal() * 0.01));
  const b = new Float64Array(classes);
  const w = Float64Array.from(values(start, 'features.0.weight'));
  const c = Float64Array.from(values(start, 'features.0.bias'));
  const nesterov = true;
  const moves = [
    sgd64(w, { weightDecay, nesterov }),
    sgd64(c, { nesterov }),
    sgd64(v, { weightDecay, nesterov }),
    sgd64(b, { nesterov }),
  ];
  const perEpoch = Math.floor(rows.length / batch);
  const losses: number[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    const order = permutation(rows.length, seed % 1000, epoch);
    let sum = 0;
    for (let step = 0; step < perEpoch; step++) {
      const gradients = [w, c, v, b].map(({ length }) => new Float64Array(length));
      const [dw, dc, dv, db] = gradients;
      for (const n of order.subarray(step * batch, (step + 1) * batch)) {
        const pre = Array.from(c, (bias, u) => rows[n].reduce((s, x, f) => s + x * w[u * F + f], bias));
        const gate = pre.map((t) => 1 / (1 + Math.exp(-t)));
        const h = pre.map((t, u) => t * gate[u]);
        const p = softmax64(Array.from(b, (bias, k) => h.reduce((s, x, u) => s + x * v[k * units + u], bias)));
        sum -= Math.log(p[labels[n]]) / batch;
        const d = p.map((share, k) => (share - (k === labels[n] ? 1 : 0)) / batch);
        d.forEach((dk, k) => {
          db[k] += dk;
          for (let u = 0; u < units; u++) dv[k * units + u] += dk * h[u];
        });
        for (let u = 0; u < units; u++) {
          const dh = d.reduce((s, dk, k) => s + dk * v[k * units + u], 0);
          const dpre = dh * (gate[u] + h[u] * (1 - gate[u]));
          dc[u] += dpre;
          for (let f = 0; f < F; f++) dw[u * F + f] += dpre * rows[n][f];
        }
      }
      const now =
        (((lr * batch) / 256) * (1 + Math.cos((Math.PI * (epoch * perEpoch + step)) / (epochs * perEpoch)))) / 2;
      moves.forEach((move, i) => {
        move(gradients[i], now);
      });
    }
    losses.push(sum / perEpoch);
  }

  const options = { lr, epochs, batch, weightDecay, cropMin: 1, flip: 0, seed: seed % 1000 };
  const { state, classifier, log } = await finetune(device, encoder, train, quarters(6, { salt: 1 }), options);
  close(
    log.map(({ loss }) => loss),
    losses,
    'losses',
    1e-5,
  );
  for (const [name, expected] of [
    ['features.0.weight', w],
    ['features.0.bias', c],
    ['classifier.weight', v],
    ['classifier.bias', b],
  ] as const)
    close(values(new Map([...state, ...classifier.state]), name), expected, name, 1e-4);
  assert.equal(await encoder.parameters.read(), start, 'the encoder that was given stays as it is');
  encoder.dispose();
});

for (const part of ['slim', 'host'] as const)
  test(`a few steps of the ${part} encoder equal, bit for bit, the same network trained by hand`, async () => {
    const before = device.allocated;
    const encoder = await encoderOf(part);
    const train = quarters(20);
    const labels = train.labels as Int32Array;
    const [batch, epochs, lr, weightDecay, own] = [6, 2, 0.8, 1e-3, seed % 1000];
    const { state, classifier } = await finetune(device, encoder, train, quarters(6, { salt: 1 }), {
      lr,
      epochs,
      batch,
      weightDecay,
      seed: own,
    });

    const { backbone } = encoder;
    const layer = linearLayer('classifier', backbone.features, classes);
    const parameters = new Parameters(device, [...backbone.parameters, ...layer.parameters], backbone.statistics, {
      bn: 'shared',
    });
    for (const [name, { data }] of await encoder.parameters.read()) parameters.write(name, data);
    const random = draws(own, stream.head);
    for (const { init, shape } of backbone.parameters)
      for (let i = shape.reduce((a, b) => a * b, 1); i > 0; i--) init(random);
    const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    parameters.write(
      'classifier.weight',
      Float32Array.from({ length: classes * encoder.features }, () => normal() * 0.01),
    );
    parameters.write('classifier.bias', new Float32Array(classes));

    const loader = await Loader.open(device, train, { batch, seed: own });
    const targets = device.buffer('targets', batch * 4);
    const one = device.buffer('one', 4);
    device.write(one, Float32Array.of(1));
    const plan = new Plan(device);
    const tape = new Tape(plan);
    plan.clear({ storage: parameters.grads, offset: 0, bytes: parameters.size * 4 });
    const x = augment(plan, loader, 0, cropAndFlip(8, 0.08, 0.5));
    const pass = { tape, parameters, width: 'host', training: true, updateStats: true } as const;
    const logits = layer.forward(pass, backbone.forward(pass, x));
    const loss = softmaxCrossEntropy(tape, logits, tensor(targets, 'targets', [batch], 0, 'u32'));
    tape.backward(loss, tensor(one, 'one', [1]));
    const optimizer = sgd(plan, parameters, { momentum: 0.9, weightDecay, nesterov: true, decayAll: false });
    await plan.compile();
    const steps = epochs * Math.floor(20 / batch);
    for (let step = 0; step < steps; step++) {
      await loader.prepare(step);
      device.write(
        targets,
        Uint32Array.from(loader.batchAt(step), (item) => labels[item]),
      );
      plan.run({ step, seed: own, lr: learningRate(step, { steps, warmup: 0, peak: (lr * batch) / 256 }) });
    }
    const end = await parameters.read();
    const found = new Map([...state, ...classifier.state]);
    assert.is(found.size, end.size);
    for (const [name, { shape, data }] of end)
      assert.equal(found.get(name.replace(/^host\./, '')), { shape, data }, `${name} (seed ${seed})`);
    // Not every scale has: what the next batchnorm undoes gets no gradient.
    for (const [name, { shape, data }] of await encoder.parameters.read())
      if (shape.length > 1 || name.includes('running'))
        assert.ok(
          data.some((value, i) => value !== end.get(name)?.data[i]),
          `${name} has moved`,
        );
    for (const { dispose } of [plan, optimizer, parameters, loader, encoder].map((of) => ({
      dispose: () => of.dispose(),
    })))
      dispose();
    for (const buffer of [targets, one]) device.free(buffer);
    assert.is(device.allocated, before);
  });

test('fine-tuning learns what a frozen random encoder does not tell, the same way each time', async () => {
  const encoder = await encoderOf('slim');
  const before = device.allocated;
  const [train, test] = [quarters(60, { noise: 120 }), quarters(30, { salt: 1, noise: 120 })];
  const options = { lr: [1e-4, 3], epochs: 16, batch: 12, cropMin: 0.8, flip: 0, seed: seed % 1000 };
  const found = await finetune(device, encoder, train, test, options);
  assert.is(found.lr, 3, JSON.stringify(found.trials));
  assert.ok(found.top1 > 0.9, `${found.top1} (seed ${seed})`);
  assert.ok(found.log[15].loss < 0.5 * found.log[0].loss);
  assert.is(found.features.length, 30 * encoder.features);
  assert.equal(await finetune(device, encoder, train, test, options), found, 'bit for bit');
  assert.is(device.allocated, before);

  // Loaded anew, the state gives the same features.
  const loaded = new ImageEncoder(device, ofRun(config, found.state));
  assert.equal(await loaded.embed(test), found.features);
  loaded.dispose();
  encoder.dispose();
});

test('what is out of range is refused, and leaves no memory behind', async () => {
  const encoder = await encoderOf('slim');
  const before = device.allocated;
  const good = quarters(12);
  for (const [options, kind, message] of [
    [{ lr: -1 }, ConfigError, /^finetune: expected lr to be above 0, got -1/],
    [{ batch: 13 }, ConfigError, /^finetune: expected a batch from 1 to 12/],
  ] as const)
    if (kind)
      await rejects(() => finetune(device, encoder, good, good, { lr: 0.1, epochs: 1, ...options }), kind, message);
  const small = { backbone: encoder.backbone, parameters: encoder.parameters, imageSize: 1 };
  await rejects(() => finetune(device, small, good, good), ConfigError, /^finetune: expected an imageSize from 2, the/);
  const deep = { backbone: encoder.backbone, parameters: encoder.parameters, imageSize: 2 };
  await rejects(() => finetune(device, deep, good, good, { lr: 0.1, epochs: 1, batch: 1 }), ShapeError, /batchnorm/);
  assert.is(device.allocated, before);
  encoder.dispose();
});

test.run();
