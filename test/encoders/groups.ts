// A Channels object is a group of channels: whatever must keep the same ones holds one and the same object.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone, type EncoderName, encoderNames } from '../../src/config/encoders.js';
import { type Channels, Parameters } from '../../src/core/parameters.js';
import { type Operation, Tape } from '../../src/core/tape.js';
import type { Encoder } from '../../src/encoders/encoder.js';
import { projector } from '../../src/nn/projector.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { type Tensor, transient } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** Ops whose output has channels of its own; all others tie their output's to those of every input. */
const producers = ['conv2d', 'pointwise', 'linear'];

/** Tensors that hold the same channels, by the ops between them: each tensor's set. */
function tied(ops: readonly Operation[]): (tensor: Tensor) => Set<Tensor> {
  const sets = new Map<Tensor, Set<Tensor>>();
  const setOf = (tensor: Tensor): Set<Tensor> => {
    const found = sets.get(tensor) ?? new Set([tensor]);
    sets.set(tensor, found);
    return found;
  };
  for (const { op, inputs, output } of ops) {
    if (producers.includes(op)) continue;
    for (const input of inputs.filter(({ grad }) => !grad)) {
      const [into, from] = [setOf(output), setOf(input)];
      for (const tensor of from) sets.set(tensor, into.add(tensor));
    }
  }
  return setOf;
}

/** The groups that the parameters of an encoder's ops claim for each set of tied tensors. */
function claims(encoder: Encoder, ops: readonly Operation[], image: Tensor): Map<Set<Tensor>, Set<Channels>> {
  const setOf = tied(ops);
  const sides = new Map(encoder.parameters.map(({ name, dims: sides }) => [name, sides]));
  const found = new Map<Set<Tensor>, Set<Channels>>([[setOf(image), new Set()]]);
  for (const { op, inputs, output } of ops) {
    const [x] = inputs;
    const claim = (tensor: Tensor, side: Channels | number | undefined) => {
      assert.type(side, 'object', `${op}: a group of channels`);
      found.set(setOf(tensor), (found.get(setOf(tensor)) ?? new Set()).add(side as Channels));
    };
    for (const { label, grad } of inputs) {
      if (!grad) continue;
      const [rows, columns] = sides.get(label) ?? [];
      claim(output, rows);
      if (producers.includes(op) && typeof columns === 'object') claim(x, columns);
    }
  }
  return found;
}

const residualAdds: Record<EncoderName, number> = {
  mobilenet_v1: 0,
  mobilenet_v3_large: 10,
  efficientnet_b0: 9,
  resnet18: 8,
  resnet50: 16,
  resnet101: 33,
  resnet20: 9,
};

for (const name of encoderNames)
  test(`${name}: one group for all that is tied together, and another for all that is free`, () => {
    const encoder = backbone({ encoder: name, width: 0.5, ratio: 1.5, stemStride: 2, blocks: null });
    const parameters = new Parameters(device, encoder.parameters, encoder.statistics);
    const plan = new Plan(device);
    const tape = new Tape(plan);
    const image = transient(plan, 'image', [2, 3, encoder.stride, encoder.stride]);
    const features = encoder.forward({ tape, parameters, width: 'host', training: true, updateStats: true }, image);

    const found = claims(encoder, tape.operations, image);
    const groups = [...found.values()].map((set) => {
      assert.is(set.size, 1, `tied tensors claim one group, not ${JSON.stringify([...set])}`);
      return [...set][0];
    });
    assert.is(new Set(groups).size, groups.length, 'tensors that are not tied to each other have groups of their own');
    const of = [...found].find(([tensors]) => tensors.has(features));
    assert.ok(of?.[1].has(encoder.features), 'the features have the group that the encoder says');
    assert.is(tape.operations.filter(({ op }) => op === 'add').length, residualAdds[name], 'residual adds');

    const weights = new Map(encoder.parameters.map(({ name, dims: sides }) => [name, sides[0]]));
    for (const { name, channels } of encoder.statistics)
      assert.ok(
        weights.get(name.replace(/running_(mean|var)$/, 'weight')) === channels,
        `${name} has its norm's group`,
      );
    parameters.dispose();
  });

test('the projector continues the features, and its layers have groups of their own', () => {
  const features = { host: 12, slim: 8 };
  const sides = new Map(projector(features, 16).parameters.map(({ name, dims: sides }) => [name, sides]));
  assert.ok(sides.get('projector.0.weight')?.[1] === features);
  const first = sides.get('projector.0.weight')?.[0];
  const second = sides.get('projector.3.weight')?.[0];
  assert.ok(first === sides.get('projector.1.weight')?.[0] && first === sides.get('projector.3.weight')?.[1]);
  assert.ok(second === sides.get('projector.4.weight')?.[0] && second === sides.get('projector.6.weight')?.[1]);
  assert.ok(first !== second);
});

test.run();
