import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type MobilenetV1Options, mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { Parameters, type Width } from '../../src/parameters.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { Tape } from '../../src/tape.js';
import { numel, type Tensor } from '../../src/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** Multiply-adds of the convolutions of one forward pass over one picture. */
function convolutionMacs(options: MobilenetV1Options, side: number, width: Width): number {
  const encoder = mobilenetV1(options);
  const parameters = new Parameters(device, encoder.parameters, encoder.statistics);
  const plan = new Plan(device);
  const tape = new Tape(plan, { frozen: true });
  const picture = upload(device, 'x', [1, 3, side, side], new Float32Array(3 * side * side));
  encoder.forward({ tape, parameters, width, training: false, updateStats: false }, picture);
  const convolutions = plan.dispatches.filter(({ label }) => /^(pointwise|conv2d|depthwise|matmul)/.test(label));
  parameters.dispose();
  device.free(picture.storage as GPUBuffer);
  return convolutions.reduce((sum, { macs }) => sum + macs, 0);
}

const millions = (n: number, digits: number) => (n / 1e6).toFixed(digits);

for (const [ratio, parameters, macs] of [
  [1, '3.207', '567.7'],
  [1.5, '7.165', '1256.2'],
  [2, '12.693', '2214.4'],
] as const) {
  test(`host of ratio ${ratio}: ${parameters} M parameters, ${macs} M multiply-adds at 224 px`, () => {
    const encoder = mobilenetV1({ ratio });
    const count = encoder.parameters.reduce((sum, { shape }) => sum + numel(shape), 0);
    assert.is(millions(count, 3), parameters);
    assert.is(millions(convolutionMacs({ ratio }, 224, 'host'), 1), macs);
  });
}

test('the slim encoder of any host is the 1x network', () => {
  for (const ratio of [1, 1.5, 2]) {
    const { parameters, features } = mobilenetV1({ ratio });
    const count = parameters.reduce((sum, { slim }) => sum + numel(slim), 0);
    assert.is(millions(count, 3), '3.207');
    assert.is(features.slim, 1024);
  }
  assert.is(millions(convolutionMacs({ ratio: 1.5 }, 224, 'slim'), 1), '567.7');
});

const small: MobilenetV1Options = {
  width: 0.25,
  ratio: 1.5,
  stemStride: 1,
  blocks: [
    [64, 1],
    [128, 2],
    [128, 1],
  ],
};

/** Forward and backward of a width; weights come from `values` by name. */
async function pass(
  options: MobilenetV1Options,
  width: Width,
  x: Tensor,
  dy: Float32Array<ArrayBuffer>,
  values: (name: string) => Float32Array,
) {
  const encoder = mobilenetV1(options);
  const parameters = new Parameters(device, encoder.parameters, encoder.statistics);
  parameters.initialize(() => 0.5);
  for (const { name } of parameters.places) parameters.write(name, Float32Array.from(values(name)));
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const y = encoder.forward({ tape, parameters, width, training: true, updateStats: true }, x);
  const gradient = upload(device, 'dy', y.shape, dy);
  tape.backward(y, gradient);
  plan.keep(y);
  await plan.compile();
  plan.poison();
  device.write(parameters.grads, new Float32Array(parameters.size));
  plan.run();
  const features = (await plan.read(y)).slice(0, numel(y.shape));
  const grads = new Float32Array(await device.read(parameters.grads));
  const gradients = new Map(
    parameters.places.map(({ name, offset, length }) => [name, grads.slice(offset, offset + length)]),
  );
  const state = await parameters.read();
  plan.dispose();
  parameters.dispose();
  device.free(gradient.storage as GPUBuffer);
  return { features, gradients, state };
}

/** Indices in a tensor of shape `host` of its leading block `slim`, in order. */
function blockIndices(host: readonly number[], slim: readonly number[]): number[] {
  return slim.reduce<number[]>(
    (at, side, d) => at.flatMap((i) => Array.from({ length: side }, (_, j) => i * host[d] + j)),
    [0],
  );
}

test('the slim slice in place equals a narrow network with copied weights', async () => {
  const random = generator();
  const side = 12;
  const picture = upload(device, 'x', [4, 3, side, side], randoms(random, 4 * 3 * side * side));
  const wide = mobilenetV1(small);
  const host = new Map(wide.parameters.map(({ name, shape }) => [name, randoms(random, numel(shape), 0.1, 0.6)]));
  const slices = new Map(wide.parameters.map(({ name, shape, slim }) => [name, blockIndices(shape, slim)]));
  const copy = (name: string) => Float32Array.from(slices.get(name) ?? [], (i) => (host.get(name) as Float32Array)[i]);
  const dy = randoms(random, 4 * wide.features.slim);

  const inPlace = await pass(small, 'slim', picture, dy, (name) => host.get(name) as Float32Array);
  const copied = await pass({ ...small, ratio: 1 }, 'host', picture, dy, copy);

  close(inPlace.features, copied.features, 'features', 1e-5);
  for (const [name, at] of slices) {
    const gradient = inPlace.gradients.get(name) as Float32Array;
    close(
      at.map((i) => gradient[i]),
      copied.gradients.get(name) as Float32Array,
      `gradient of ${name}`,
      1e-5,
    );
    const kept = new Set(at);
    assert.ok(
      gradient.every((value, i) => kept.has(i) || value === 0),
      `${name}: no gradient outside the slice (seed ${seed})`,
    );
  }
  for (const { name } of wide.statistics) {
    const expected = copied.state.get(`host.${name}`)?.data as Float32Array;
    const slim = inPlace.state.get(`slim.${name}`)?.data as Float32Array;
    close(slim.subarray(0, expected.length), expected, name, 1e-5);
    const untouched = inPlace.state.get(`host.${name}`)?.data as Float32Array;
    assert.ok(
      untouched.every((value) => value === (name.endsWith('var') ? 1 : 0)),
      `${name} of the host is untouched`,
    );
  }
  device.free(picture.storage as GPUBuffer);
});

test('a host has no room for two tensors of one name', () => {
  const { parameters, statistics } = mobilenetV1(small);
  assert.throws(
    () => new Parameters(device, [...parameters, parameters[0]], statistics),
    /two tensors are named "features.0.0.weight"/,
  );
});

test.run();
