// A slim encoder by itself, made of its host: the network that is made at its width from the start.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, type EncoderName, encoderNames } from '../../src/config/encoders.js';
import { type Dim, Parameters } from '../../src/core/parameters.js';
import type { Tensors } from '../../src/core/state.js';
import { Tape } from '../../src/core/tape.js';
import { type Encoder, slimOf } from '../../src/encoders/encoder.js';
import type { Device } from '../../src/runtime/device.js';
import { metaDevice } from '../../src/runtime/meta.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, transient } from '../../src/tensor/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { ownEncoder } from '../own_encoder.js';
import { generator, seed } from '../random.js';
import { features, type Input, randomInput } from '../train/trained.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();

/** What an encoder owns, its groups of channels numbered in the order in which they come up. */
function ownedBy({ parameters, statistics, features, hidden, stride }: Encoder): unknown {
  const groups = new Map<Dim, string>();
  const named = (side: Dim) => {
    if (typeof side === 'number') return side;
    const text = groups.get(side) ?? `group ${groups.size} of ${side.host} and ${side.slim}`;
    groups.set(side, text);
    return text;
  };
  return {
    parameters: parameters.map(({ init: _, dims: sides, ...own }) => ({ ...own, sides: sides.map(named) })),
    statistics: statistics.map(({ channels, ...own }) => ({ ...own, channels: named(channels) })),
    features: named(features),
    hidden: hidden?.map(({ host, slim }) => [host, slim]),
    stride,
  };
}

/** All that a training pass of it records. */
function recordedBy(encoder: Encoder, side: number): unknown {
  const meta = metaDevice();
  const plan = new Plan(meta);
  const tape = new Tape(plan);
  const parameters = new Parameters(meta, encoder.parameters, encoder.statistics, { bn: 'shared' });
  const x = transient(plan, 'x', [2, 3, side, side]);
  encoder.forward({ tape, parameters, width: 'host', training: true, updateStats: true }, x);
  const view = ({ label, shape, strides, offset }: typeof x) => ({ label, shape, strides, offset });
  return tape.operations.map(({ op, attributes, inputs, output }) => {
    return { op, attributes, inputs: inputs.map(view), output: view(output) };
  });
}

/** The host with random weights and statistics, and what its slim encoder has of them. */
async function slimState(encoder: Encoder): Promise<{ parameters: Parameters; state: Tensors }> {
  const parameters = new Parameters(device, encoder.parameters, encoder.statistics, { bn: 'shared' });
  parameters.initialize(random);
  const between = (low: number, name: string) =>
    parameters.write(
      name,
      Float32Array.from({ length: parameters.shapes.get(name)![0] }, () => low + random()),
    );
  for (const { name } of encoder.statistics) between(name.endsWith('var') ? 0.5 : -0.5, `host.${name}`);
  for (const { name, affine } of encoder.parameters) if (affine) between(0.2, name); // so that little is cut off by a ReLU
  return { parameters, state: await parameters.state(encoder, 'slim') };
}

/** Features of the slim encoder where it lies, in its host. */
async function inPlace(encoder: Encoder, parameters: Parameters, { shape, images }: Input): Promise<Float32Array> {
  const plan = new Plan(device);
  const x = upload(device, 'x', shape, images);
  const pass = { parameters, width: 'slim', training: false, updateStats: false } as const;
  const y = encoder.forward({ ...pass, tape: new Tape(plan, { noGrad: true }) }, x);
  plan.retain(y);
  await plan.compile();
  plan.run();
  const rows = (await plan.read(y)).slice(0, numel(y.shape));
  plan.dispose();
  device.free(x);
  return rows;
}

const spec = (encoder: EncoderName) => ({ encoder, width: 0.25, ratio: 1.5, stemStride: 2, blocks: null });

for (const name of encoderNames)
  test(`${name}: what it owns, and what it records, are those of the network made at its width`, async () => {
    const host = backbone(spec(name));
    const [slim, made] = [slimOf(host), backbone({ ...spec(name), ratio: 1 })];
    assert.equal(ownedBy(slim), ownedBy(made));
    for (const side of [32, 48]) assert.equal(recordedBy(slim, side), recordedBy(made, side));
    assert.equal(ownedBy(slimOf(made)), ownedBy(made), 'of an encoder of one width it is that encoder');

    const { parameters, state } = await slimState(host);
    const input = randomInput(random, 2, 40);
    const rows = await features(device, slim, state, input);
    assert.equal(rows, await features(device, made, state, input), `seed ${seed}`);
    close(rows, await inPlace(host, parameters, input), 'as it lies in its host');
    assert.ok(rows.some((value) => value !== 0));
    parameters.dispose();
  });

test('an encoder of a program that asks for its sides at the width of the pass', async () => {
  const host = ownEncoder({ channels: { host: 12, slim: 7 }, features: { host: 10, slim: 5 } });
  const made = ownEncoder({ channels: { host: 7, slim: 7 }, features: { host: 5, slim: 5 } });
  const slim = slimOf(host);
  assert.equal(ownedBy(slim), ownedBy(made));
  assert.equal(recordedBy(slim, 9), recordedBy(made, 9));
  const { parameters, state } = await slimState(host);
  const input = randomInput(random, 3, 9);
  const rows = await features(device, slim, state, input);
  assert.equal(rows, await features(device, made, state, input), `seed ${seed}`);
  close(rows, await inPlace(host, parameters, input), 'as it lies in its host');
  parameters.dispose();
});

test.run();
