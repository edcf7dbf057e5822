// Gradients where several ops meet at one parameter: each way counts once, and what lies beside a slice stays as it is.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters, parameter } from '../../src/core/parameters.js';
import { record } from '../../src/core/record.js';
import type { Tape } from '../../src/core/tape.js';
import { ConfigError, ShapeError, ValidationError } from '../../src/errors.js';
import { activation } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { narrow, transpose } from '../../src/ops/copy.js';
import { exp, mul, square } from '../../src/ops/elementwise.js';
import { linear } from '../../src/ops/linear.js';
import { sum } from '../../src/ops/reduce.js';
import { squaredDistance } from '../../src/ops/squared_distance.js';
import { lars } from '../../src/optim/lars.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import type { DeviceParameter, DeviceTensor } from '../../src/tensor/device_tensor.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** The gradient of a loss by its parameter, after two runs on poisoned memory. */
async function gradientOf(p: DeviceParameter, loss: (tape: Tape) => Tensor): Promise<number[]> {
  using step = await record(device, (tape) => tape.backward(loss(tape)) as undefined);
  step.plan.poison();
  step.run();
  step.run();
  return [...(await p.grad.read())];
}

test('an op that copies a parameter and one that takes it as it is: both count once, in either order', async () => {
  const [p, zero] = [device.parameter([3], [1, 2, 3]), device.tensor([3], 0)];
  const parts = [(tape: Tape) => squaredDistance(tape, p, zero), (tape: Tape) => sum(tape, square(tape, p))];
  for (const [first, second] of [parts, parts.toReversed()])
    assert.equal(await gradientOf(p, (tape) => add(tape, first(tape), second(tape))), [4, 8, 12]);
});

test('a reshaped parameter counts once, as an activation and as a weight', async () => {
  const p = device.parameter([4], [1, 2, 3, 4]);
  assert.equal(await gradientOf(p, (tape) => activation(tape, tape.reshape(p, [2, 2]), 'relu')), [1, 1, 1, 1]);
  const x = device.tensor([3, 2], 1);
  assert.equal(await gradientOf(p, (tape) => linear(tape, x, tape.reshape(p, [2, 2]))), [3, 3, 3, 3]);
  assert.equal(await gradientOf(p, (tape) => mul(tape, tape.reshape(p, [1, 4]), 2)), [2, 2, 2, 2]);
});

test('a tensor that requires a gradient under its own shape counts once', async () => {
  const x = device.tensor([3], [1, 2, 3]);
  using step = await record(device, (tape) => {
    tape.requireGrad(x);
    tape.backward(sum(tape, square(tape, tape.reshape(x, [3]))));
    return { dx: tape.gradient(x) as Tensor };
  });
  step.run();
  assert.equal([...(await step.read('dx'))], [2, 4, 6]);
});

test('the gradient of a slice ends where the slice ends, and so does what is trained by it', async () => {
  for (const count of [1, 2, 3, 5, 6, 7]) {
    const p = device.parameter([8], (i) => i + 1);
    p.grad.write(0);
    const own = Array.from({ length: 8 }, (_, i) => (i < count ? 1 : 0));
    assert.equal(await gradientOf(p, (tape) => activation(tape, p.slice([count]), 'relu')), own);
  }
  const norms = async (direct: boolean) => {
    const p = device.parameter([3, 3], (i) => (i - 4) / 10 + 0.01);
    using step = await record(device, (tape) => {
      const y = direct ? activation(tape, p, 'silu') : activation(tape, mul(tape, p, 1), 'silu');
      tape.backward(squaredDistance(tape, y, device.tensor([3, 3], 1)));
      lars(tape.plan, [p], { lr: 0.5 });
    });
    for (let i = 0; i < 3; i++) step.run();
    return p.read();
  };
  assert.equal(await norms(true), await norms(false));
});

test('a weight that an op made is refused, for no gradient would reach what it is made of', async () => {
  const [p, x] = [device.parameter([2, 3], 1), device.tensor([4, 3], 1)];
  const message = /^linear: expected square\.y to be a parameter, or a constant by detach\(\)/;
  await rejects(() => gradientOf(p, (tape) => linear(tape, x, square(tape, p))), ValidationError, message);
});

test('views of whole numbers are not read as floats', async () => {
  const labels: DeviceTensor = device.tensor([2, 3], [1, 2, 3, 4, 5, 6], { dtype: 'i32' });
  const uses: ((tape: Tape) => unknown)[] = [
    (tape) => exp(tape, labels.slice([2, 2])),
    (tape) => transpose(tape, labels),
    (tape) => narrow(tape, labels, 1, 0, 2),
  ];
  for (const use of uses)
    await rejects(
      () => record(device, (tape) => void use(tape) as undefined),
      ShapeError,
      /expected f32 or f16 numbers, got i32/,
    );
});

test('a part of an f16 tensor that ends within a word is not written', async () => {
  const x = device.tensor([3, 3], 1, { dtype: 'f16' });
  await rejects(() => x.slice([1, 3]).write(9), ValidationError, /expected to write multiples of 4 bytes/);
  x.slice([1, 2]).write(9);
  assert.equal([...(await x.read())], [9, 9, 1, 1, 1, 1, 1, 1, 1]);
});

test('names, rates and steps that would be taken for others are refused', async () => {
  const named = [parameter('host.w', [2], () => 1)];
  await rejects(
    () => new Parameters(device, named, []),
    ConfigError,
    /expected names that do not begin with host\. or slim\./,
  );
  const [a, b] = [device.parameter([2], 1), device.parameter([2], 1)];
  for (const [first, second] of [
    [{ lr: 0.5 }, {}],
    [{}, { lr: 0.5 }],
  ])
    await rejects(
      () =>
        record(device, (tape) => {
          tape.backward(sum(tape, mul(tape, a, b)));
          sgd(tape.plan, [a], first);
          sgd(tape.plan, [b], second);
        }),
      ValidationError,
      /expected one source of lr, got sgd/,
    );
  using plan = new Plan(device);
  for (const step of [Number.NaN, -1, 1.5])
    await rejects(
      () => {
        plan.firstStep = step;
      },
      ConfigError,
      /expected step to be a whole number/,
    );
});

test.run();
