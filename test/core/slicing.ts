// What the slim encoder is: a slice of the host in place, which must equal a narrow network of copied weights.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, type EncoderSpec } from '../../src/config/encoders.js';
import { sliceModes } from '../../src/core/channel_selection.js';
import { type BnMode, bnModes, Parameters, type Slicing, type Width } from '../../src/core/parameters.js';
import type { Tensors } from '../../src/core/state.js';
import { Tape } from '../../src/core/tape.js';
import type { Encoder } from '../../src/encoders/encoder.js';
import { type Module, sequential } from '../../src/nn/module.js';
import { projector } from '../../src/nn/projector.js';
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

const small: EncoderSpec = {
  encoder: 'mobilenet_v1',
  width: 0.25,
  ratio: 1.5,
  stemStride: 1,
  blocks: [
    [64, 1],
    [128, 2],
    [128, 1],
  ],
};
const [N, side, units] = [4, 12, 10];
const random = generator();

/** An encoder and the projector behind it, with their memory. */
interface Network {
  readonly encoder: Encoder;
  readonly head: Module;
  readonly whole: Module;
  readonly parameters: Parameters;
}

function make(spec: EncoderSpec, slicing: Slicing): Network {
  const encoder = backbone(spec);
  const head = projector(encoder.features, units);
  const whole = sequential(encoder, head);
  return { encoder, head, whole, parameters: new Parameters(device, whole.parameters, whole.statistics, slicing) };
}

/** Every tensor and statistic of a network filled anew: none is as an initialization leaves it. */
async function fill(network: Network): Promise<void> {
  const { parameters } = network;
  for (const [name, shape] of parameters.shapes) {
    if (name.startsWith('kept.')) continue;
    const [mean, spread] = name.endsWith('var') ? [1, 0.5] : [0.1, 0.6];
    parameters.write(name, randoms(random, numel(shape), mean, spread));
  }
  await parameters.select();
}

interface Passed {
  readonly features: Float32Array;
  readonly z: Float32Array;
  /** As `Parameters.state` has them, gradients in the weights' place. */
  readonly gradients: Float32Array;
}

/** A training pass forward and backward from z, or a frozen one. */
async function pass(network: Network, width: Width, x: Tensor, dz: Tensor, frozen = false): Promise<Passed> {
  const plan = new Plan(device);
  const tape = new Tape(plan, { noGrad: frozen });
  plan.clear({ storage: network.parameters.grads, offset: 0, bytes: network.parameters.size * 4 });
  const { encoder, head, parameters } = network;
  const options = { tape, parameters, width, training: true, updateStats: !frozen };
  const features = encoder.forward(options, x);
  const z = head.forward(options, features);
  if (!frozen) tape.backward(z, dz);
  for (const kept of [features, z]) plan.retain(kept);
  await plan.compile();
  plan.poison();
  plan.run();
  const read = async (t: Tensor) => (await plan.read(t)).slice(0, numel(t.shape));
  const gradients = new Float32Array(await device.read(network.parameters.grads));
  const passed = { features: await read(features), z: await read(z), gradients };
  plan.dispose();
  return passed;
}

const values = (state: Tensors, name: string) => (state.get(name) as { data: Float32Array }).data;

/** A network of the slim encoder's size with copies of its weights and statistics. */
async function narrowed(of: Network, spec: EncoderSpec): Promise<Network> {
  const network = make({ ...spec, ratio: 1 }, { bn: 'shared' });
  const state = await of.parameters.state(of.whole, 'slim');
  const tracked = new Set(network.whole.statistics.map(({ name }) => name));
  for (const [name, { data }] of state) network.parameters.write(tracked.has(name) ? `host.${name}` : name, data);
  return network;
}

const modes = bnModes.flatMap((bn) => sliceModes.map((slice) => ({ bn, slice })));
for (const { bn, slice } of modes)
  test(`bn ${bn}, slice ${slice}: the slice equals a narrow network, forward, gradients and statistics`, async () => {
    const network = make(small, { bn, slice });
    await fill(network);
    const narrow = await narrowed(network, small);
    const x = upload(device, 'x', [N, 3, side, side], randoms(random, N * 3 * side * side));
    const dz = upload(device, 'dz', [N, units], randoms(random, N * units));
    const before = await network.parameters.read();
    const stats = async () => new Float32Array(await device.read(network.parameters.stats));
    const [start, mineBefore] = [await stats(), await network.parameters.state(network.whole, 'slim')];
    const slim = await pass(network, 'slim', x, dz);
    const copied = await pass(narrow, 'host', x, dz);
    close(slim.features, copied.features, 'features');
    close(slim.z, copied.z, 'z', 1e-4);

    const untouched = new Set(slim.gradients.keys());
    for (const { name } of network.whole.parameters) {
      const gradient = ({ parameters }: Network, { gradients }: Passed, width: Width) =>
        Array.from(parameters.elements(name, width).at, (i) => gradients[i]);
      const expected = gradient(narrow, copied, 'host');
      // biases before a batchnorm have no gradient but rounding
      const scale = /projector\.[03]\.bias/.test(name) ? 1 : 0;
      close([...gradient(network, slim, 'slim'), scale], [...expected, scale], `gradient of ${name}`, 1e-3);
      for (const i of network.parameters.elements(name, 'slim').at) untouched.delete(i);
    }
    for (const i of untouched) assert.is(slim.gradients[i], 0, `gradient ${i} beyond the slice (seed ${seed})`);

    const after = await network.parameters.read();
    const [mine, theirs] = [
      await network.parameters.state(network.whole, 'slim'),
      await narrow.parameters.state(narrow.whole, 'host'),
    ];
    const end = await stats();
    for (const { name } of network.whole.statistics) {
      close(values(mine, name), values(theirs, name), name, 1e-4);
      assert.not.equal(values(mine, name), values(mineBefore, name), `${name} has moved`);
      if (bn !== 'shared') assert.equal(values(after, `host.${name}`), values(before, `host.${name}`), `host ${name}`);
      for (const at of network.parameters.elements(name, 'slim').at) start[at] = end[at];
    }
    assert.equal(end, start, 'statistics beyond the slice');

    const frozen = await pass(network, 'slim', x, dz, true);
    close(frozen.z, slim.z, 'a frozen pass computes the same');
    await pass(network, 'host', x, dz, true);
    assert.equal([...(await network.parameters.read())], [...after], 'frozen passes leave all as it is');
    for (const each of [x, dz]) device.free(each);
    network.parameters.dispose();
    narrow.parameters.dispose();
  });

test('what is stored apart: statistics where split, nothing where shared, affine tensors too where private', () => {
  const names = (bn: BnMode) => {
    const network = make(small, { bn });
    const { shapes } = network.parameters;
    network.parameters.dispose();
    return [...shapes.keys()];
  };
  const [split, shared, own] = bnModes.map(names);
  const slim = (all: string[]) => all.filter((name) => name.startsWith('slim.')).map((name) => name.slice(5));
  const affine = split.filter((name) => /(\.1|projector\.4)\.(weight|bias)$/.test(name) && !/^(host|slim)/.test(name));
  const moving = shared.filter((name) => name.startsWith('host.')).map((name) => name.slice(5));
  assert.is(affine.length, moving.length);
  assert.equal(slim(split), moving);
  assert.equal(slim(shared), []);
  assert.equal(slim(own).toSorted(), [...affine, ...moving].toSorted());
});

test.run();
