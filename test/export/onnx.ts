// Encoders as ONNX files, run by onnxruntime-web beside ours on the same images.
import * as ort from 'onnxruntime-web';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, encoderNames } from '../../src/config/encoders.js';
import { parameter } from '../../src/core/parameters.js';
import type { Tape } from '../../src/core/tape.js';
import { type Encoder, slimOf } from '../../src/encoders/encoder.js';
import { ConfigError, DataError, ValidationError } from '../../src/errors.js';
import { foldBatchnorm, traceEncoder } from '../../src/export/graph.js';
import { exportOnnx } from '../../src/export/onnx.js';
import { batchNormLayer, convBatchNorm, convLayer, linearLayer } from '../../src/nn/blocks.js';
import { normal } from '../../src/nn/init.js';
import { type Module, sequential } from '../../src/nn/module.js';
import { type Activation, activation, activations } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { concat, contiguous, detach, narrow, transpose } from '../../src/ops/copy.js';
import { div, exp, log, mul, scale, sqrt, square, sub } from '../../src/ops/elementwise.js';
import { l2Normalize } from '../../src/ops/l2_normalize.js';
import { linear } from '../../src/ops/linear.js';
import { matmul } from '../../src/ops/matmul.js';
import { averagePool, globalAveragePool, maxPool } from '../../src/ops/pool.js';
import { mean, sum } from '../../src/ops/reduce.js';
import { squaredDistance } from '../../src/ops/squared_distance.js';
import type { Device } from '../../src/runtime/device.js';
import { numel, reshapeView, sliceView, type Tensor, transposeView } from '../../src/tensor/tensor.js';
import { close, error } from '../check.js';
import { openTestDevice } from '../device.js';
import { ownEncoder } from '../own_encoder.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';
import { features, randomInput, trained } from '../train/trained.js';

let device: Device;
test.before(async () => {
  ort.env.wasm.numThreads = 1;
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();

async function agrees(encoder: Encoder, side: number): Promise<void> {
  const state = await trained(device, random, encoder, side);
  const inputs = [randomInput(random, 3, side), randomInput(random, 1, side)];
  const { host: F } = encoder.features;
  const expected: Float32Array[] = [];
  for (const input of inputs) expected.push(await features(device, encoder, state, input));
  const apart = error(expected[0].subarray(0, F), expected[0].subarray(F, 2 * F));
  assert.ok(apart > 0.01, `images can be told apart by their features (seed ${seed})`);
  for (const fold of [false, true]) {
    const session = await ort.InferenceSession.create(exportOnnx({ encoder, state, imageSize: side }, { fold }));
    assert.equal([session.inputNames, session.outputNames], [['image'], ['features']]);
    for (const [i, { shape, images }] of inputs.entries()) {
      const output = await session.run({ image: new ort.Tensor('float32', images, shape) });
      assert.equal(output.features.dims, [shape[0], F]);
      close(
        output.features.data as Float32Array,
        expected[i],
        `${fold ? 'folded' : 'as it is'}, batch ${shape[0]}`,
        3e-5,
      );
    }
    await session.release();
  }
}

for (const name of encoderNames)
  for (const [part, width, side] of [
    ['slim', 0.25, 32], // the last maps are one pixel, which we compute otherwise
    ['host', 0.375, 41],
  ] as const)
    test(`${name}, ${part}: onnxruntime gives our features`, async () => {
      await agrees(backbone({ encoder: name, width, ratio: 1, stemStride: 2, blocks: null }), side);
    });

for (const fold of [false, true])
  test(`a classifier's logits beside the features${fold ? ', folded' : ''}`, async () => {
    const encoder = backbone({ encoder: 'resnet18', width: 0.25, ratio: 1, stemStride: 2, blocks: null });
    const state = await trained(device, random, encoder, 32);
    const { host: F } = encoder.features;
    const [weight, bias] = [randoms(random, 5 * F, 0.1, 1), randoms(random, 5, 0.5, 1)];
    const classifier = new Map([
      ['classifier.weight', { shape: [5, F], data: weight }],
      ['classifier.bias', { shape: [5], data: bias }],
    ]);
    const input = randomInput(random, 3, 32);
    const rows = await features(device, encoder, state, input);
    const expected = Float64Array.from({ length: 15 }, (_, i) => {
      const [n, k] = [Math.floor(i / 5), i % 5];
      let sum = bias[k];
      for (let f = 0; f < F; f++) sum += rows[n * F + f] * weight[k * F + f];
      return sum;
    });
    const bytes = exportOnnx({ encoder, state, imageSize: 32 }, { fold, classifier });
    const session = await ort.InferenceSession.create(bytes);
    assert.equal(session.outputNames, ['features', 'logits']);
    const output = await session.run({ image: new ort.Tensor('float32', input.images, input.shape) });
    assert.equal(output.logits.dims, [3, 5]);
    close(output.features.data as Float32Array, rows, 'features', 3e-5);
    close(output.logits.data as Float32Array, expected, 'logits', 1e-4);
    await session.release();
    await rejects(
      async () => exportOnnx({ encoder, state, imageSize: 32 }, { classifier: new Map([...classifier].slice(1)) }),
      DataError,
      /exportOnnx: .*classifier\.weight/s,
    );
  });

/** An encoder of 8 features: a convolution and batchnorm, then `rest`, which ends in (N, 8). */
function encoderWith(...rest: Module[]): Encoder {
  const channels = { host: 8, slim: 8 };
  const stem = convLayer('stem', { host: 3, slim: 3 }, channels, { kernelSize: 3 });
  const body = sequential(convBatchNorm(stem, 'norm', channels), ...rest);
  return { ...body, features: channels, stride: 4 };
}
const layer = (forward: Module['forward']): Module => ({ parameters: [], statistics: [], forward });
const pooling = layer(({ tape }, x) => globalAveragePool(tape, x));

test('every activation and pool, and a batchnorm behind a fully connected layer', async () => {
  const channels = { host: 8, slim: 8 };
  const acts = Object.keys(activations) as Activation[];
  const applied = acts.flatMap((name) => [
    layer(({ tape }, x) => activation(tape, x, name)),
    batchNormLayer(`norm.${name}`, channels, { activation: name }), // behind no convolution: stays where it is
  ]);
  const pools = [
    layer(({ tape }, x) => maxPool(tape, x, { kernelSize: 3, stride: 2, padding: 1 })),
    layer(({ tape }, x) => averagePool(tape, x, { kernelSize: 2, stride: 1 })),
  ];
  const head = [
    linearLayer('dense', channels, 8),
    batchNormLayer('dense.norm', channels),
    linearLayer('last', channels, 8),
  ];
  await agrees(encoderWith(...applied, ...pools, pooling, ...head), 13);
});

test('arithmetic, sums and products of matrices', async () => {
  const arithmetic = layer(({ tape }, x) => {
    const e = exp(tape, scale(tape, x, 0.3));
    const center = mean(tape, e, { dim: 1, keepdim: true });
    const c = div(tape, sub(tape, e, center), sqrt(tape, add(tape, square(tape, center), 1)));
    const d = log(tape, add(tape, div(tape, 2, e), sum(tape, square(tape, e), { dim: 0 })));
    const joined = concat(tape, [narrow(tape, d, 1, 0, 3), narrow(tape, c, 1, 3, 5)], 1);
    const gram = matmul(tape, detach(tape, c), d, { transposeA: true });
    const product = matmul(tape, joined, transpose(tape, gram), { transposeB: true });
    const ofAll = add(
      tape,
      sub(tape, 1, mul(tape, product, mean(tape, c))),
      sum(tape, sum(tape, e, { dim: 0 }), { dim: 0 }),
    );
    return add(tape, add(tape, x, scale(tape, joined, 0.1)), scale(tape, ofAll, 0.001)); // what all images have in common does not hide what they have not
  });
  await agrees(encoderWith(pooling, arithmetic), 9);
});

test('a batchnorm whose input is used elsewhere too is not folded', async () => {
  const channels = { host: 8, slim: 8 };
  const branch = convLayer('branch', channels, channels);
  const branchNorm = batchNormLayer('branch.norm', channels);
  const both: Module = {
    parameters: [...branch.parameters, ...branchNorm.parameters],
    statistics: branchNorm.statistics,
    forward(pass, x) {
      const y = branch.forward(pass, x);
      return add(pass.tape, y, branchNorm.forward(pass, y));
    },
  };
  await agrees(encoderWith(both, pooling), 9);
});

test('layers whose names are those of inputs and outputs', async () => {
  const channels = { host: 8, slim: 8 };
  await agrees(
    encoderWith(convLayer('image', channels, channels), convLayer('features', channels, channels), pooling),
    9,
  );
});

test('folding leaves no batchnorm of an encoder', async () => {
  const encoder = backbone({ encoder: 'mobilenet_v3_large', width: 0.25, ratio: 1, stemStride: 1, blocks: null });
  const { nodes, parameters } = foldBatchnorm(traceEncoder(encoder, await trained(device, random, encoder, 16), 16));
  assert.is(nodes.filter(({ op }) => op === 'batchnorm').length, 0);
  assert.equal(
    [...parameters.keys()].filter((name) => /running|\.1\.(weight|bias)$/.test(name)),
    [],
  );
});

test('what cannot be exported is refused', async () => {
  const encoder = encoderWith(pooling);
  const state = await trained(device, random, encoder, 8);
  for (const imageSize of [3, 8.5, Number.NaN, '32' as never])
    await rejects(
      () => exportOnnx({ encoder, state, imageSize }),
      ConfigError,
      /imageSize of at least .* stride, 4, got/,
    );
  const without = new Map([...state].filter(([name]) => name !== 'norm.bias'));
  await rejects(() => exportOnnx({ encoder, state: without, imageSize: 8 }), DataError, /norm\.bias is missing/);
  const refused = (forward: Module['forward'], message: RegExp) =>
    rejects(() => exportOnnx({ encoder: encoderWith(layer(forward)), state, imageSize: 8 }), ValidationError, message);
  const pooled = (tape: Tape, x: Tensor) => globalAveragePool(tape, x);
  await refused(
    ({ tape }, x) => tape.reshape(x, [1, numel(x.shape)]),
    /^exportOnnx: expected features \(2, 8\) of 2 images, got \(1, 1024\)/,
  );
  await refused(
    ({ tape }, x) => add(tape, pooled(tape, x), squaredDistance(tape, x, x)),
    /^exportOnnx: there is no ONNX for the op "squaredDistance"/,
  );
  await refused(
    ({ tape }, x) => scale(tape, pooled(tape, x), 1 / x.shape[0]),
    /^exportOnnx: scale: expected the same settings for any batch, got .*0\.5.* for 2 images and .*0\.33/,
  );
  await refused(({ tape }, x) => {
    const rows = pooled(tape, x);
    return x.shape[0] > 2 ? exp(tape, rows) : rows;
  }, /^exportOnnx: expected the same ops for any batch/);
  await refused(({ tape }, x) => {
    const rows = pooled(tape, x);
    const [N, F] = rows.shape;
    const turned = transpose(tape, tape.reshape(concat(tape, [rows, rows]), [F, 2 * N]));
    return narrow(tape, tape.reshape(turned, [2 * N, F]), 0, 0, N);
  }, /^exportOnnx: narrow: expected the same settings for any batch/);
  await refused(({ tape }, x) => {
    const rows = pooled(tape, x);
    const gram = matmul(tape, rows, rows, { transposeB: true });
    return matmul(tape, tape.reshape(tape.reshape(gram, [1, ...gram.shape]), gram.shape), rows);
  }, /^exportOnnx: reshape: expected one side at most to grow with the batch, got \(1, 2, 2\) for 2 images and \(1, 3, 3\)/);
  await refused(({ tape }, x) => {
    const rows = pooled(tape, x);
    return narrow(tape, concat(tape, Array(x.shape[0]).fill(rows), 1), 1, 0, 8);
  }, /^exportOnnx: concat: expected the same inputs for any batch, got 2 for 2 images and 3 for 3/);
  await refused(
    ({ tape }, x) =>
      exp(tape, contiguous(tape, transposeView(transposeView(reshapeView(pooled(tape, x), [x.shape[0], 8]))))),
    /^exportOnnx: exp: expected what the tape's ops made of the image, parameters or statistics, got "pool\.y"/,
  );
});

test("every op of a loss of one's own, on an encoder of one's own, of sides of its own", async () => {
  const own = (channels: number, features: number) => ({ host: channels, slim: features });
  await agrees(ownEncoder({ channels: own(9, 6), features: own(8, 5) }), 13);
  await agrees(slimOf(ownEncoder({ channels: own(9, 6), features: own(8, 5) })), 13);
});

/** Parameters named as values of the file are, read whole, in parts, under other shapes, and by several layers. */
function oddlyNamed(): Encoder {
  const channels = { host: 8, slim: 8 };
  const owned = ['features', 'scalar_2', 'w', 'pool.mean'].map((name) => parameter(name, [channels, 8], normal(0.4)));
  const stem = convBatchNorm(
    convLayer('image', { host: 3, slim: 3 }, channels, { kernelSize: 3 }),
    'image.norm',
    channels,
  );
  const shared = convLayer('shared', channels, channels);
  const twice = [batchNormLayer('first', channels), batchNormLayer('second', channels)];
  const bare: Module = {
    parameters: [parameter('kernel', [channels, channels, 1, 1], normal(0.4))],
    statistics: [],
    forward: ({ tape, parameters }, x) => conv2d(tape, x, parameters.tensor('kernel', 'host')),
  };
  const last = convBatchNorm(bare, 'kernel.norm', channels);
  const all = [stem, shared, ...twice, last];
  return {
    parameters: [...all.flatMap(({ parameters }) => parameters), ...owned],
    statistics: all.flatMap(({ statistics }) => statistics),
    features: channels,
    stride: 1,
    forward(pass, x) {
      const { tape, parameters } = pass;
      const of = (name: string) => parameters.tensor(name, 'host');
      let map = stem.forward(pass, x);
      for (const each of twice) map = each.forward(pass, shared.forward(pass, map)); // not to be folded twice
      const rows = globalAveragePool(tape, last.forward(pass, map));
      const product = linear(tape, scale(tape, rows, 2), of('w'));
      const part = add(tape, product, narrow(tape, of('features'), 0, 3, 1));
      const first = mul(tape, part, reshapeView(sliceView(of('scalar_2'), [1, 8]), [8]));
      const turned = matmul(tape, first, transposeView(of('pool.mean')));
      const corner = contiguous(tape, sliceView(of('w'), [4, 8])); // of its first rows, by columns
      const flat = add(tape, reshapeView(of('pool.mean'), [64]), 0);
      const others = add(tape, sum(tape, corner, { dim: 0 }), narrow(tape, flat, 0, 8, 8));
      return add(tape, add(tape, turned, l2Normalize(tape, rows)), others);
    },
  };
}

test('parameters read in parts, under other shapes, by several layers, and named as other things in the file', async () => {
  await agrees(oddlyNamed(), 9);
});

test('maps of one pixel, flattened maps and other layouts', async () => {
  const channels = { host: 8, slim: 8 };
  const halved = convLayer('halved', channels, channels, { kernelSize: 3, stride: 4 });
  const flatten = layer(({ tape }, x) => tape.reshape(x, [x.shape[0], numel(x.shape) / x.shape[0]]));
  await agrees(encoderWith(halved, flatten, linearLayer('wide', { host: 32, slim: 32 }, 8)), 7);
  await agrees(encoderWith(halved, convLayer('pixel', channels, channels), flatten), 4);
  await agrees(
    encoderWith(halved, convLayer('pixel', channels, channels), batchNormLayer('folds', channels), flatten),
    4,
  );
});

test.run();
