import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters, parameter } from '../../src/core/parameters.js';
import { ConfigError, ShapeError } from '../../src/errors.js';
import { ema } from '../../src/optim/ema.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { close } from '../check.js';
import { openTestDevice, pretend } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** Parameters of these shapes, filled at random. */
function make(shapes: readonly (readonly number[])[], random: () => number) {
  const described = shapes.map((shape, i) => parameter(`t${i}`, shape, () => 0));
  const parameters = new Parameters(device, described, []);
  const values = randoms(random, parameters.size);
  device.write(parameters.weights, values);
  return { parameters, values };
}

const shapes = [[3], [8, 5], [64], [16, 3, 3, 3], [65], [129, 257]];

test('an average of all weights by a momentum that stays, and by one that moves from step to step', async () => {
  for (const momentum of [undefined, 0.99, 0]) {
    const random = generator();
    const source = make([...shapes, [30, 7]], random); // a predictor at the end has no average
    const target = make(shapes, random);
    using plan = new Plan(device);
    ema(plan, target.parameters, source.parameters, { momentum });
    await plan.compile();
    const expected = Float64Array.from(target.values);
    for (const m of [0.9, 0.5, 0.996]) {
      plan.run({ ema: m });
      const by = Math.fround(momentum ?? m);
      expected.forEach((v, i) => {
        expected[i] = by * v + (1 - by) * source.values[i];
      });
    }
    const found = new Float32Array(await device.read(target.parameters.weights));
    close(found, expected, `momentum ${momentum}`, 1e-6);
    assert.equal(
      new Float32Array(await device.read(source.parameters.weights)),
      source.values,
      `the source stays (seed ${seed})`,
    );
    for (const { parameters } of [source, target]) parameters.dispose();
  }
});

test('weights that one binding cannot hold are averaged in several dispatches', async () => {
  const random = generator();
  const [source, target] = [make(shapes, random), make(shapes, random)];
  using plan = new Plan(pretend(device, { limits: { maxStorageBufferBindingSize: 133_000 } }));
  ema(plan, target.parameters, source.parameters);
  assert.is(plan.dispatches.length, 2);
  await plan.compile();
  plan.run({ ema: 0.25 });
  const expected = target.values.map((v, i) => 0.25 * v + 0.75 * source.values[i]);
  close(new Float32Array(await device.read(target.parameters.weights)), expected, 'average', 1e-6);
  for (const { parameters } of [source, target]) parameters.dispose();
});

test('a run that is told no momentum is refused, one of 1 leaves the average as it is', async () => {
  const random = generator();
  const [source, target] = [make(shapes, random), make(shapes, random)];
  using plan = new Plan(device);
  ema(plan, target.parameters, source.parameters);
  await plan.compile();
  assert.throws(() => plan.run(), /^plan: expected ema for ema, got none; pass it: run\(\{ ema \}\)/);
  plan.run({ ema: 1 });
  assert.equal(new Float32Array(await device.read(target.parameters.weights)), target.values);
  for (const { parameters } of [source, target]) parameters.dispose();
});

test('weights that lie differently, and a momentum out of range, are refused by name', async () => {
  const random = generator();
  const [source, wider, longer] = [[[4, 5]], [[4, 6]], [[4, 5], [2]]].map((of) => make(of, random).parameters);
  const plan = new Plan(device);
  await rejects(
    () => ema(plan, wider, source),
    ShapeError,
    /ema: expected the target's tensors to be the source's first ones, got t0 \(4, 6\) against t0 \(4, 5\)/,
  );
  await rejects(() => ema(plan, longer, source), ShapeError, /got t1 \(2\) against none/);
  await rejects(
    () => ema(plan, source, source, { momentum: 1 }),
    ConfigError,
    /ema: expected momentum of at least 0 and below 1, got 1/,
  );
  for (const parameters of [source, wider, longer]) parameters.dispose();
});

test.run();
