// The proof of slicing: a slim encoder in place, the leading channels or those that lists keep, equals a narrow network with
// copied weights, forward and backward.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, type EncoderName, type EncoderSpec, encoderNames } from '../../src/config/encoders.js';
import { type SliceMode, sliceModes } from '../../src/core/channel_selection.js';
import { type Channels, type Parameter, Parameters, type Width } from '../../src/core/parameters.js';
import { Tape } from '../../src/core/tape.js';
import type { Encoder } from '../../src/encoders/encoder.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, type Tensor } from '../../src/tensor/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** Forward and backward of a width; weights come from `values` by name. */
async function pass(
  spec: EncoderSpec,
  width: Width,
  x: Tensor,
  dy: Float32Array<ArrayBuffer>,
  values: (name: string) => Float32Array,
  slice: SliceMode = 'prefix',
) {
  const encoder = backbone(spec);
  const parameters = new Parameters(device, encoder.parameters, encoder.statistics, { slice });
  parameters.initialize(() => 0.5);
  for (const { name } of parameters.places) parameters.write(name, Float32Array.from(values(name)));
  const changed = await parameters.select();
  assert.ok(slice === 'l1' ? changed > 0 : changed === 0, `${changed} channels changed (seed ${seed})`);
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const y = encoder.forward({ tape, parameters, width, training: true, updateStats: true }, x);
  const gradient = upload(device, 'dy', y.shape, dy);
  tape.backward(y, gradient);
  plan.retain(y);
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
  device.free(gradient);
  return { features, gradients, state };
}

/** Which of the host's channels each group of an encoder keeps: by definition, one comparison at a time. */
function keptChannels(
  { parameters }: Encoder,
  values: (name: string) => Float32Array,
  slice: SliceMode,
): (channels: Channels) => number[] {
  return (channels) => {
    const first = Array.from({ length: channels.slim }, (_, c) => c);
    if (slice === 'prefix' || channels.host === channels.slim) return first;
    const writers = parameters.filter(
      ({ name, dims: [rows, columns, kernel] }) =>
        rows === channels && columns !== 1 && kernel !== undefined && !name.includes('fc2'),
    );
    const scores = Array.from({ length: channels.host }, (_, c) =>
      writers.reduce((sum, { name }) => {
        const row = values(name).length / channels.host;
        return values(name)
          .subarray(c * row, (c + 1) * row)
          .reduce((norm, w) => norm + Math.abs(w), sum);
      }, 0),
    );
    const beats = (a: number, b: number) => scores[a] > scores[b] || (scores[a] === scores[b] && a < b);
    const all = Array.from(scores.keys());
    return all.filter((c) => all.filter((other) => beats(other, c)).length < channels.slim);
  };
}

/** Indices in a tensor of the rows, columns and taps that a slim encoder uses, in order. */
function sliceIndices({ dims: sides, shape }: Parameter, kept: (channels: Channels) => number[]): number[] {
  return sides.reduce<number[]>(
    (at, side, d) => {
      const along = typeof side === 'number' ? Array.from({ length: side }, (_, i) => i) : kept(side);
      return at.flatMap((i) => along.map((j) => i * shape[d] + j));
    },
    [0],
  );
}

/** Narrow networks whose host has other widths at every layer that is sliced. */
const specs: Record<EncoderName, { width: number; ratio: number; side: number; blocks?: EncoderSpec['blocks'] }> = {
  mobilenet_v1: {
    width: 0.25,
    ratio: 1.5,
    side: 13,
    blocks: [
      [64, 1],
      [128, 2],
      [128, 1],
    ],
  },
  mobilenet_v3_large: { width: 0.5, ratio: 2, side: 35 },
  efficientnet_b0: { width: 0.5, ratio: 2, side: 35 },
  resnet18: { width: 0.125, ratio: 1.5, side: 35 },
  resnet50: { width: 0.125, ratio: 1.5, side: 35 },
  resnet101: { width: 0.125, ratio: 1.5, side: 35 },
  resnet20: { width: 1, ratio: 1.5, side: 9 },
};

/** ResNet-101 is ResNet-50 with more blocks. */
const cases = encoderNames.flatMap((encoder) =>
  (encoder === 'resnet101' ? (['prefix'] as const) : sliceModes).map((slice) => [encoder, slice] as const),
);

for (const [encoder, slice] of cases)
  test(`${encoder}: the slim ${slice} slice in place equals a narrow network with copied weights`, async () => {
    const { side, blocks = null, ...widths } = specs[encoder];
    const spec = {
      encoder,
      ...widths,
      blocks,
      stemStride: encoder === 'mobilenet_v1' || encoder === 'resnet20' ? 1 : 2,
    };
    const random = generator();
    const image = upload(device, 'x', [4, 3, side, side], randoms(random, 4 * 3 * side * side));
    const wide = backbone(spec);
    for (const { name, dims: sides } of wide.parameters)
      for (const group of sides)
        assert.ok(typeof group === 'number' || group.host === 3 || group.host > group.slim, `${name} is sliced`);
    const host = new Map(
      wide.parameters.map(({ name, shape }) => {
        // small enough that no gate of an excitation saturates, and with it its gradient
        const spread = shape.length > 1 ? 1.5 / Math.sqrt(numel(shape.slice(1))) : 0.6;
        return [name, randoms(random, numel(shape), 0.1 * spread, spread)];
      }),
    );
    const kept = keptChannels(wide, (name) => host.get(name) as Float32Array, slice);
    const slices = new Map(wide.parameters.map((parameter) => [parameter.name, sliceIndices(parameter, kept)]));
    const copy = (name: string) =>
      Float32Array.from(slices.get(name) ?? [], (i) => (host.get(name) as Float32Array)[i]);
    const dy = randoms(random, 4 * wide.features.slim);

    const inPlace = await pass(spec, 'slim', image, dy, (name) => host.get(name) as Float32Array, slice);
    const copied = await pass({ ...spec, ratio: 1 }, 'host', image, dy, copy);

    close(inPlace.features, copied.features, 'features', 1e-5);
    for (const [name, at] of slices) {
      const gradient = inPlace.gradients.get(name) as Float32Array;
      close(
        at.map((i) => gradient[i]),
        copied.gradients.get(name) as Float32Array,
        `gradient of ${name}`,
        1e-5,
      );
      assert.ok(
        gradient.some((value) => value !== 0),
        `${name} has a gradient (seed ${seed})`,
      );
      const inSlice = new Set(at);
      assert.ok(
        gradient.every((value, i) => inSlice.has(i) || value === 0),
        `${name}: no gradient outside the slice (seed ${seed})`,
      );
    }
    for (const { name, channels } of wide.statistics) {
      const expected = copied.state.get(`host.${name}`)?.data as Float32Array;
      const slim = inPlace.state.get(`slim.${name}`)?.data as Float32Array;
      const list = kept(channels);
      close(
        list.map((c) => slim[c]),
        expected,
        name,
        1e-5,
      );
      const untouched = inPlace.state.get(`host.${name}`)?.data as Float32Array;
      assert.ok(
        [...untouched, ...slim.filter((_, c) => !list.includes(c))].every(
          (value) => value === (name.endsWith('var') ? 1 : 0),
        ),
        `${name} of the host, and of channels that are not kept, is untouched`,
      );
    }
    device.free(image);
  });

test('a host has no room for two tensors of one name', () => {
  const { parameters, statistics } = backbone({
    encoder: 'mobilenet_v1',
    width: 0.25,
    ratio: 1.5,
    stemStride: 1,
    blocks: null,
  });
  assert.throws(
    () => new Parameters(device, [...parameters, parameters[0]], statistics),
    /two tensors are named "features.0.0.weight"/,
  );
});

test.run();
