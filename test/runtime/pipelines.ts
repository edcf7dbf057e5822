import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { findAdapter } from '../../src/node/device/device.js';
import { activation } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { globalAveragePool } from '../../src/ops/pool.js';
import { requestDevice } from '../../src/runtime/adapter.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { statsOf } from '../../src/runtime/stats.js';
import { numel } from '../../src/tensor/tensor.js';
import { upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { names } from '../ops/activations.js';
import { generator, randoms } from '../random.js';

/** Forward and backward through some twenty pipelines; the features and the weight's gradient. */
async function pass(device: Device, onProgress?: (done: number, total: number) => void) {
  const random = generator(7);
  const make = (label: string, shape: number[], withGradient = false) => {
    const values = randoms(random, numel(shape), 0.3, 1);
    return upload(device, label, shape, values, withGradient ? new Float32Array(values.length) : undefined);
  };
  using plan = new Plan(device);
  const tape = new Tape(plan);
  const weight = make('weight', [6, 3, 3, 3], true);
  const affine = { gamma: make('gamma', [6], true), beta: make('beta', [6], true) };
  const running = { runningMean: make('mean', [6]), runningVar: make('var', [6]) };
  const x = conv2d(tape, make('x', [2, 3, 9, 9]), weight, { padding: 1 });
  const activated = names.map((name) => activation(tape, x, name)).reduce((a, b) => add(tape, a, b));
  const y = globalAveragePool(tape, batchnorm(tape, activated, { ...affine, ...running }, { activation: 'relu' }));
  tape.backward(y, make('dy', [2, 6]));
  plan.retain(y);
  await plan.compile(onProgress);
  plan.poison();
  plan.run();
  const pipelines = statsOf(plan).pipelines;
  const gradient = await plan.read(weight.grad as typeof weight);
  return { pipelines, values: [...(await plan.read(y)).slice(0, 12), ...gradient] };
}

test('shaders are compiled on the device and its spares once, and compute the same', async () => {
  const choice = process.env.SLIMGRAD_ADAPTER as 'lavapipe' | 'swiftshader';
  const opened: GPUDevice[] = [];
  const spares = async () => {
    opened.push(await requestDevice((await findAdapter(choice)).adapter));
    return opened.slice(-1);
  };
  using plain = await openTestDevice({ compileDevices: undefined });
  using warmed = await openTestDevice({ compileDevices: spares });
  const seen: [number, number][] = [];
  const expected = await pass(plain);
  const found = await pass(warmed, (done, total) => seen.push([done, total]));
  assert.ok(found.pipelines >= 16, `expected a plan that is worth a spare device, got ${found.pipelines} pipelines`);
  assert.ok(found.values.every(Number.isFinite));
  assert.equal(found.values, expected.values);
  assert.is(plain.pipelines.dispatched, 0);
  assert.is(warmed.pipelines.dispatched, found.pipelines);
  assert.equal(seen.at(-1), [found.pipelines, found.pipelines]);
  assert.is(opened.length, 1);
  assert.is((await opened[0].lost).reason, 'destroyed');
  await pass(warmed);
  assert.is(opened.length, 1, 'what is compiled is not compiled again');
});

test.run();
