// Steps recorded in one call: what they keep, read, clear and refuse.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { record } from '../../src/core/record.js';
import { Tape } from '../../src/core/tape.js';
import { ShapeError, ValidationError } from '../../src/errors.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { mul } from '../../src/ops/elementwise.js';
import { l2Normalize } from '../../src/ops/l2_normalize.js';
import { linear } from '../../src/ops/linear.js';
import { mean, sum } from '../../src/ops/reduce.js';
import { squaredDistance } from '../../src/ops/squared_distance.js';
import { adamw } from '../../src/optim/adamw.js';
import { lars } from '../../src/optim/lars.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, type Tensor } from '../../src/tensor/tensor.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();
const made = (shape: readonly number[]) => device.tensor(shape, randoms(random, numel(shape)));
const weights = (shape: readonly number[]) => device.parameter(shape, randoms(random, numel(shape)));

test('a step runs forward and backward, and begins with gradients of zero', async () => {
  const host = device.parameter([12, 8, 3, 3], 0.5);
  const x = device.tensor([2, 4, 6, 6], 1);
  using step = await record(device, (tape) => {
    const y = conv2d(tape, x, host.slice([8, 4, 3, 3]), { padding: 1 });
    tape.backward(y);
    return { y };
  });
  step.plan.poison();
  for (let run = 0; run < 3; run++) {
    step.run();
    assert.is((await step.read('y'))[0], 8);
    const gradient = await host.grad.read();
    assert.is(gradient[0], 50, 'a sum over 2 images and 5 × 5 places, however often it runs');
    assert.is(gradient[gradient.length - 1], 0, 'of what the slice leaves out');
  }
});

test('what is read is of its own moment, as often as it is asked for', async () => {
  const x = device.tensor([4], 1);
  using step = await record(device, (tape) => ({ y: mul(tape, x, x), half: mul(tape, x, 0.5) }));
  const results = [];
  for (const value of [1, 2, 3]) {
    x.write(value);
    step.run();
    results.push(step.read('y'), step.read('half'), step.read('y'));
  }
  const read = (await Promise.all(results)).map(([first]) => first);
  assert.equal(read, [1, 0.5, 1, 4, 1, 4, 9, 1.5, 9]);
  const before = device.allocated;
  for (let i = 0; i < 5; i++) {
    step.run();
    await step.read('y');
  }
  assert.is(device.allocated, before, 'a steady step makes no buffer');
});

test('what is read has the kind of what was returned', async () => {
  const [labels, x] = [device.tensor([3], [2, 0, 1], { dtype: 'u32' }), made([4, 6])];
  using step = await record(device, (tape) => ({
    y: mul(tape, x, 2),
    labels,
    turned: x.transpose(),
  }));
  step.run();
  assert.equal(await step.read('labels'), Uint32Array.of(2, 0, 1));
  const values = await x.read();
  assert.equal(
    await step.read('turned'),
    Float32Array.from({ length: 24 }, (_, i) => values[(i % 4) * 6 + Math.floor(i / 4)]),
  );
  assert.equal(
    await step.read('y'),
    values.map((value) => 2 * value),
  );
});

test('a tensor that is trained may stand for an activation', async () => {
  const [w, x] = [weights([3, 4]), made([5, 4])];
  using step = await record(device, (tape) => {
    const rows = l2Normalize(tape, w); // by a kernel that gives its gradient back
    const y = linear(tape, x, w);
    const loss = sum(tape, mul(tape, sum(tape, rows, { dim: 1 }), mean(tape, y)));
    tape.backward(loss);
    return { loss };
  });
  step.plan.poison();
  step.run();
  const gradient = await w.grad.read();
  const values = Float64Array.from(await w.read());
  const images = Float64Array.from(await x.read());
  const loss = (v: Float64Array) => {
    let rows = 0;
    for (let r = 0; r < 3; r++) {
      const row = v.subarray(4 * r, 4 * r + 4);
      const length = Math.sqrt(row.reduce((all, value) => all + value * value, 0));
      rows += row.reduce((all, value) => all + value / length, 0);
    }
    let total = 0;
    for (let n = 0; n < 5; n++)
      for (let r = 0; r < 3; r++) for (let i = 0; i < 4; i++) total += images[4 * n + i] * v[4 * r + i];
    return (rows * total) / 15;
  };
  close(await step.read('loss'), [loss(values)], 'loss', 1e-5);
  const expected = values.map((_, i) => {
    const at = (by: number) => loss(values.map((value, j) => (j === i ? value + by : value)));
    return (at(1e-4) - at(-1e-4)) / 2e-4;
  });
  close(gradient, expected, 'gradient', 1e-5);
});

for (const [name, optimizer] of Object.entries({ sgd, lars, adamw }))
  test(`${name} trains a list of parameters as one of them each, by a rate of its own and the plan's count`, async () => {
    const start = [randoms(random, 12), randoms(random, 3)];
    const shapes = [[3, 4], [3]];
    const [x, target] = [made([6, 4]), made([6, 3])];
    const losses = (tape: Tape, w: Tensor, b: Tensor) => squaredDistance(tape, linear(tape, x, w, b), target);
    const train = async (lr: number | undefined) => {
      const [w, b] = shapes.map((shape, i) => device.parameter(shape, start[i]));
      let carried: readonly string[] = [];
      using step = await record(device, (tape) => {
        const loss = losses(tape, w, b);
        tape.backward(loss);
        carried = Object.keys(optimizer(tape.plan, [w, b], lr === undefined ? {} : { lr }).moments);
        return { loss };
      });
      const told = [];
      for (let i = 0; i < 4; i++) {
        step.run(lr === undefined ? { lr: 0.01 } : {});
        told.push((await step.read('loss'))[0]);
      }
      assert.is(step.plan.step, 4);
      return { told, carried, values: [...(await w.read()), ...(await b.read())] };
    };
    const [own, said] = [await train(0.01), await train(undefined)];
    assert.equal(own, said);
    assert.ok(
      own.carried.every((key) => /^(momentum|first|second)\.[01]$/.test(key)),
      String(own.carried),
    );
    assert.ok(own.told[3] < own.told[0], `the loss falls: ${own.told}`);
  });

test('an optimizer begins its corrections where the plan says', async () => {
  const train = async (first: number) => {
    const w = device.parameter([4, 16], randoms(generator(7), 64));
    using step = await record(device, (tape) => {
      tape.plan.firstStep = first;
      const loss = squaredDistance(tape, linear(tape, device.tensor([2, 16], 0.5), w), device.tensor([2, 4], 1));
      tape.backward(loss);
      adamw(tape.plan, [w], { lr: 0.1 });
    });
    step.plan.step = first;
    for (let i = 0; i < 3; i++) step.run();
    return w.read();
  };
  assert.equal(await train(0), await train(1000));
});

test('what a step cannot do is refused by name', async () => {
  const [w, x] = [weights([3, 4]), made([2, 4])];
  const own = weights([8, 8]);
  const expectations: [(tape: Tape) => unknown, new (message: string) => Error, RegExp][] = [
    [async () => undefined, ValidationError, /async function/],
    [(tape) => tape.backward(linear(tape, x, made([3, 4]))), ValidationError, /which requires none/],
    [(tape) => sgd(tape.plan, []), ShapeError, /^sgd: expected parameters to train, got none/],
    [
      (tape) => sgd(tape.plan, [own.slice([2, 2])]),
      ShapeError,
      /^sgd: expected whole parameters, .* got parameter \(2, 2\)/,
    ],
    [(tape) => sgd(tape.plan, [own.slice([2, 8])]), ShapeError, /got parameter \(2, 8\)/], // dense, but not all of it
    [(tape) => sgd(tape.plan, [own.reshape([64]).slice([3])]), ShapeError, /train the tensor that a slice is of/],
    [(tape) => sgd(tape.plan, [made([3])]), ShapeError, /without a gradient/],
    [
      (tape) => {
        tape.backward(linear(tape, x, w));
        sgd(tape.plan, [w, own], { lr: 0.1 });
      },
      ValidationError,
      /^sgd: expected a backward of the same step to reach what it trains, got none for "grad parameter"/,
    ],
    [
      (tape) => {
        sgd(tape.plan, [w], { lr: 0.1 });
        tape.backward(linear(tape, x, w));
      },
      ValidationError,
      /^sgd: expected to be recorded after the backward/,
    ],
    [(tape) => sgd(tape.plan, [w, own, w]), ShapeError, /got parameter twice/],
    [
      (tape) => [sgd(tape.plan, [w], { lr: 0.1 }), sgd(tape.plan, [own], { lr: 0.2 })],
      ValidationError,
      /expected one source of lr, got sgd of lr 0\.1 and sgd of lr 0\.2/,
    ],
    [(tape) => sgd(tape.plan, [w], { lr: -1 }), Error, /expected lr of at least 0/],
  ];
  for (const [work, kind, message] of expectations)
    await rejects(() => record(device, work as () => undefined), kind as never, message);
  using step = await record(device, (tape) => ({ y: linear(tape, x, w) }));
  await rejects(() => step.read('y'), ValidationError, /^step: expected a run before y is read, got none/);
  step.run();
  await rejects(
    () => step.read('z' as 'y'),
    ValidationError,
    /^step: expected the name of a returned tensor, y, got z/,
  );
  await rejects(() => step.read('toString' as 'y'), ValidationError, /expected the name/);
  using needy = await record(device, (tape) => {
    tape.backward(linear(tape, x, w));
    adamw(tape.plan, [w]);
  });
  await rejects(() => needy.run(), ValidationError, /expected lr for adamw, got none/);
});

test('a tensor of another live tape is no constant by accident', async () => {
  const [w, x] = [weights([3, 4]), made([2, 4])];
  using plan = new Plan(device);
  const [one, other] = [new Tape(plan), new Tape(plan)];
  const y = linear(one, x, w);
  await rejects(() => mul(other, y, 2), ValidationError, /^scale: expected a tensor of this tape, got linear\.y/);
  const frozen = new Tape(plan, { noGrad: true });
  mul(frozen, y, 2);
});

test('a step frees what it holds', async () => {
  const [w, x] = [weights([3, 4]), made([2, 4])];
  const before = device.allocated;
  const step = await record(device, (tape) => {
    const y = linear(tape, x, w);
    tape.backward(y);
    return { y };
  });
  step.run();
  await step.read('y');
  step.dispose();
  step.dispose();
  assert.is(device.allocated, before);
  await rejects(() => step.run(), ValidationError, /expected a compiled plan to run/);
});

test.run();
