import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { activation } from '../../src/ops/activation.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { checkOp, close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { names, slope, value } from './activations.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const active = names.filter((name) => name !== 'none');

for (const name of active)
  for (const shape of [[1], [3, 17, 5, 5], [2, 7, 33]])
    test(`${name} and its gradient, ${shape}`, async () => {
      await checkOp(device, name, {
        inputs: { x: shape },
        mean: 0.5,
        spread: 8,
        run: (tape, { x }) => activation(tape, x, name),
        reference: ({ x, dy }) => ({ y: x.map(value[name]), dx: x.map((v, i) => dy[i] * slope[name](v)) }),
      });
    });

/** y and dx (for dy = 1) at given points. */
async function at(name: (typeof active)[number], points: number[]): Promise<{ y: Float32Array; dx: Float32Array }> {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = tape.requireGrad(upload(device, 'x', [points.length], Float32Array.from(points)));
  const dy = upload(device, 'dy', [points.length], new Float32Array(points.length).fill(1));
  const y = activation(tape, x, name);
  tape.backward(y, dy);
  const dx = tape.gradient(x);
  assert.ok(dx);
  plan.retain(y);
  plan.retain(dx);
  await plan.compile();
  plan.run();
  const result = { y: (await plan.read(y)).slice(0, points.length), dx: (await plan.read(dx)).slice(0, points.length) };
  plan.dispose();
  for (const each of [x, dy]) device.free(each);
  return result;
}

for (const name of active) {
  test(`${name}: at its kinks the slope of the outer piece`, async () => {
    const kinks = [-3, 0, 3, 6];
    const { dx } = await at(name, kinks);
    close(dx, kinks.map(slope[name]), `${name} kinks`, 1e-6);
  });

  test(`${name}: extreme arguments give finite values`, async () => {
    const extremes = [-1e30, -1e4, -200, -90, 90, 200, 1e4, 1e30];
    const { y, dx } = await at(name, extremes);
    extremes.forEach((v, i) => {
      const expected = value[name](v);
      assert.ok(Math.abs(y[i] - expected) <= 1e-5 * Math.max(1, Math.abs(expected)), `${name}(${v}) = ${y[i]}`);
      assert.ok(Math.abs(dx[i] - slope[name](v)) <= 1e-5, `slope of ${name} at ${v} = ${dx[i]}`);
    });
  });

  test(`${name}: NaN stays NaN`, async () => {
    const { y } = await at(name, [Number.NaN, 1]);
    assert.ok(Number.isNaN(y[0]), `${name}(NaN) = ${y[0]}`);
  });
}

test('none is its argument', () => {
  const tape = new Tape(new Plan(device));
  const x = tape.empty('x', [3]);
  assert.is(activation(tape, x, 'none'), x);
});

test.run();
