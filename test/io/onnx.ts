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
import { averagePool, globalAveragePool, maxPool } from '../../src/ops/pool.js';
import { Parameters, type Tensors } from '../../src/parameters.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { Tape } from '../../src/tape.js';
import { numel, type Tensor } from '../../src/tensor.js';
import { close, error, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  ort.env.wasm.numThreads = 1;
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();

/** Records the encoder on pictures (N, 3, H, W), runs it once, and hands over what `read` makes of it. */
async function run<T>(
  { forward, parameters: trainable, statistics }: Encoder,
  state: Tensors,
  { shape, pictures }: { shape: readonly number[]; pictures: Float32Array<ArrayBuffer> },
  training: boolean,
  read: (plan: Plan, y: Tensor, tape: Tape, parameters: Parameters) => Promise<T>,
): Promise<T> {
  const parameters = new Parameters(device, trainable, statistics, { bn: 'shared' });
  const tracked = new Set(statistics.map(({ name }) => name));
  for (const [name, { data }] of state) parameters.write(tracked.has(name) ? `host.${name}` : name, data);
  const x = upload(device, 'x', shape, pictures);
  const plan = new Plan(device);
  const tape = new Tape(plan, { frozen: true });
  const y = forward({ tape, parameters, width: 'host', training, updateStats: training }, x);
  plan.keep(y);
  await plan.compile();
  plan.run();
  const result = await read(plan, y, tape, parameters);
  plan.dispose();
  parameters.dispose();
  device.free(x.storage as GPUBuffer);
  return result;
}

function randomPictures(N: number, side: number) {
  const shape = [N, 3, side, side];
  return { shape, pictures: randoms(random, numel(shape)) };
}

/** Random weights, with the running statistics that random pictures give: a network whose features tell pictures apart. */
async function trained(encoder: Encoder, side: number): Promise<Tensors> {
  const state: Tensors = new Map();
  for (const { name, shape } of encoder.parameters) {
    const [mean, spread] = shape.length > 1 ? [0, 3 / Math.sqrt(numel(shape.slice(1)))] : [0.8, 0.4];
    state.set(name, { shape, data: randoms(random, numel(shape), mean, spread) });
  }
  for (const { name, channels } of encoder.statistics)
    state.set(name, { shape: [channels.host], data: new Float32Array(channels.host) });
  return run(encoder, state, randomPictures(8, side), true, async (_plan, _y, { operations }, parameters) => {
    const moved = await parameters.read();
    for (const { op, inputs, attributes } of operations)
      for (const { label, shape } of op === 'batchnorm' ? inputs.slice(3) : []) {
        const batch = moved.get(`host.${label}`)!.data.map((value) => value / Number(attributes.momentum)); // the rest was zero
        // a channel that hardly varies over so few pictures would make rounding errors large
        const average = batch.reduce((sum, value) => sum + value) / batch.length;
        state.set(label, { shape, data: label.endsWith('var') ? batch.map((value) => (value + average) / 2) : batch });
      }
    return state;
  });
}

async function agrees(encoder: Encoder, side: number): Promise<void> {
  const state = await trained(encoder, side);
  const inputs = [randomPictures(3, side), randomPictures(1, side)];
  const { host: F } = encoder.features;
  const expected: Float32Array[] = [];
  for (const input of inputs)
    expected.push(
      await run(encoder, state, input, false, async (plan, y) => (await plan.read(y)).slice(0, numel(y.shape))),
    );
  const apart = error(expected[0].subarray(0, F), expected[0].subarray(F, 2 * F));
  assert.ok(apart > 0.01, `pictures can be told apart by their features (seed ${seed})`);
  for (const fold of [false, true]) {
    const session = await ort.InferenceSession.create(exportOnnx(encoder, state, { imageSize: side, fold }));
    assert.equal([session.inputNames, session.outputNames], [['image'], ['features']]);
    for (const [i, { shape, pictures }] of inputs.entries()) {
      const { features } = await session.run({ image: new ort.Tensor('float32', pictures, shape) });
      assert.equal(features.dims, [shape[0], F]);
      close(features.data as Float32Array, expected[i], `${fold ? 'folded' : 'as it is'}, batch ${shape[0]}`, 3e-5);
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

test('folding leaves no batchnorm of an encoder', async () => {
  const encoder = backbone({ encoder: 'mobilenet_v3_large', width: 0.25, ratio: 1, stemStride: 1, blocks: null });
  const { nodes, parameters } = foldBatchnorm(traceEncoder(encoder, await trained(encoder, 16)));
  assert.is(nodes.filter(({ op }) => op === 'batchnorm').length, 0);
  assert.equal(
    [...parameters.keys()].filter((name) => /running|\.1\.(weight|bias)$/.test(name)),
    [],
  );
});

test('what cannot be exported is refused', async () => {
  const encoder = encoderWith(pooling);
  const state = await trained(encoder, 8);
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
