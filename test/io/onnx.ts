// Encoders as ONNX files, run by onnxruntime-web beside ours on the same pictures.
import * as ort from 'onnxruntime-web';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, encoderNames } from '../../src/encoders/backbone.js';
import type { Encoder } from '../../src/encoders/encoder.js';
import { ConfigError, DataError, ValidationError } from '../../src/errors.js';
import { foldBatchnorm, traceEncoder } from '../../src/io/graph.js';
import { exportOnnx } from '../../src/io/onnx.js';
import { conv, convNorm, dense, norm } from '../../src/nn/blocks.js';
import { type Module, sequential } from '../../src/nn/module.js';
import { type Activation, activation, activations } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { concat, detach, narrow, transpose } from '../../src/ops/copy.js';
import { div, exp, log, mul, scale, sqrt, square, sub } from '../../src/ops/elementwise.js';
import { matmul } from '../../src/ops/matmul.js';
import { averagePool, globalAveragePool, maxPool } from '../../src/ops/pool.js';
import { mean, sum } from '../../src/ops/reduce.js';
import type { Device } from '../../src/runtime/device.js';
import { numel } from '../../src/tensor.js';
import { close, error } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';
import { features, randomInput, trained } from '../trained.js';

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
  assert.ok(apart > 0.01, `pictures can be told apart by their features (seed ${seed})`);
  for (const fold of [false, true]) {
    const session = await ort.InferenceSession.create(exportOnnx(encoder, state, { imageSize: side, fold }));
    assert.equal([session.inputNames, session.outputNames], [['image'], ['features']]);
    for (const [i, { shape, pictures }] of inputs.entries()) {
      const output = await session.run({ image: new ort.Tensor('float32', pictures, shape) });
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
    const bytes = exportOnnx(encoder, state, { imageSize: 32, fold, classifier });
    const session = await ort.InferenceSession.create(bytes);
    assert.equal(session.outputNames, ['features', 'logits']);
    const output = await session.run({ image: new ort.Tensor('float32', input.pictures, input.shape) });
    assert.equal(output.logits.dims, [3, 5]);
    close(output.features.data as Float32Array, rows, 'features', 3e-5);
    close(output.logits.data as Float32Array, expected, 'logits', 1e-4);
    await session.release();
    await rejects(
      async () => exportOnnx(encoder, state, { imageSize: 32, classifier: new Map([...classifier].slice(1)) }),
      DataError,
      /exportOnnx: .*classifier\.weight/s,
    );
  });

/** An encoder of 8 features: a convolution and batchnorm, then `rest`, which ends in (N, 8). */
function encoderWith(...rest: Module[]): Encoder {
  const channels = { host: 8, slim: 8 };
  const stem = conv('stem', { host: 3, slim: 3 }, channels, { kernelSize: 3 });
  const body = sequential(convNorm(stem, 'norm', channels), ...rest);
  return { ...body, features: channels, stride: 4 };
}
const layer = (forward: Module['forward']): Module => ({ parameters: [], statistics: [], forward });
const pooling = layer(({ tape }, x) => globalAveragePool(tape, x));

test('every activation and pool, and a batchnorm behind a fully connected layer', async () => {
  const channels = { host: 8, slim: 8 };
  const acts = Object.keys(activations) as Activation[];
  const applied = acts.flatMap((name) => [
    layer(({ tape }, x) => activation(tape, x, name)),
    norm(`norm.${name}`, channels, { activation: name }), // behind no convolution: stays where it is
  ]);
  const pools = [
    layer(({ tape }, x) => maxPool(tape, x, { kernelSize: 3, stride: 2, padding: 1 })),
    layer(({ tape }, x) => averagePool(tape, x, { kernelSize: 2, stride: 1 })),
  ];
  const head = [dense('dense', channels, 8), norm('dense.norm', channels), dense('last', channels, 8)];
  await agrees(encoderWith(...applied, ...pools, pooling, ...head), 13);
});

test('arithmetic, sums and products of matrices', async () => {
  const arithmetic = layer(({ tape }, x) => {
    const e = exp(tape, scale(tape, x, 0.3));
    const centre = mean(tape, e, { dim: 1, keepdim: true });
    const c = div(tape, sub(tape, e, centre), sqrt(tape, add(tape, square(tape, centre), 1)));
    const d = log(tape, add(tape, div(tape, 2, e), sum(tape, square(tape, e), { dim: 0 })));
    const joined = concat(tape, [narrow(tape, d, 1, 0, 3), narrow(tape, c, 1, 3, 5)], 1);
    const gram = matmul(tape, detach(tape, c), d, { transposeA: true });
    const product = matmul(tape, joined, transpose(tape, gram), { transposeB: true });
    const ofAll = add(
      tape,
      sub(tape, 1, mul(tape, product, mean(tape, c))),
      sum(tape, sum(tape, e, { dim: 0 }), { dim: 0 }),
    );
    return add(tape, add(tape, x, scale(tape, joined, 0.1)), scale(tape, ofAll, 0.001)); // what all pictures have in common does not hide what they have not
  });
  await agrees(encoderWith(pooling, arithmetic), 9);
});

test('a batchnorm whose input is used elsewhere too is not folded', async () => {
  const channels = { host: 8, slim: 8 };
  const branch = conv('branch', channels, channels);
  const branchNorm = norm('branch.norm', channels);
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
  await agrees(encoderWith(conv('image', channels, channels), conv('features', channels, channels), pooling), 9);
});

test('folding leaves no batchnorm of an encoder', async () => {
  const encoder = backbone({ encoder: 'mobilenet_v3_large', width: 0.25, ratio: 1, stemStride: 1, blocks: null });
  const { nodes, parameters } = foldBatchnorm(traceEncoder(encoder, await trained(device, random, encoder, 16)));
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
      () => exportOnnx(encoder, state, { imageSize }),
      ConfigError,
      /imageSize of at least .* stride, 4, got/,
    );
  const without = new Map([...state].filter(([name]) => name !== 'norm.bias'));
  await rejects(() => exportOnnx(encoder, without, { imageSize: 8 }), DataError, /norm\.bias is missing/);
  const flat = layer(({ tape }, x) => tape.reshape(x, [1, numel(x.shape)]));
  const foreign = encoderWith(flat);
  await rejects(() => exportOnnx(foreign, state, { imageSize: 8 }), ValidationError, /no ONNX for the op "reshape"/);
});

test.run();
