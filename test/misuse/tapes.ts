// Backwards that cannot give the right gradient: each is refused by the names of what is the matter.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters, parameter } from '../../src/core/parameters.js';
import { Tape } from '../../src/core/tape.js';
import { ShapeError, ValidationError } from '../../src/errors.js';
import { activation } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { contrastiveLogits } from '../../src/ops/contrastive_logits.js';
import { crossCorrelation } from '../../src/ops/cross_correlation.js';
import { l2Normalize, l2NormalizeInPlace } from '../../src/ops/l2_normalize.js';
import { linear } from '../../src/ops/linear.js';
import { matmulInto } from '../../src/ops/matmul.js';
import { queuePush } from '../../src/ops/queue_push.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import {
  narrowView,
  numel,
  reshapeView,
  sliceView,
  type Tensor,
  tensor,
  transposeView,
} from '../../src/tensor/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());
test.after.each(() => device.settled());

const random = generator();
const made = (label: string, shape: readonly number[]) => upload(device, label, shape, randoms(random, numel(shape)));
const weights = (label: string, shape: readonly number[]) =>
  upload(device, label, shape, randoms(random, numel(shape)), new Float32Array(numel(shape)));
const open = () => new Tape(new Plan(device));

/** Runs a plan once, and reads some of what it made. */
async function results(plan: Plan, ...tensors: readonly (Tensor | undefined)[]): Promise<Float32Array[]> {
  for (const x of tensors) plan.retain(x as Tensor);
  await plan.compile();
  plan.poison();
  plan.run();
  return Promise.all(tensors.map((x) => plan.read(x as Tensor)));
}

test('what nothing tracks does not go back', async () => {
  const x = made('x', [4, 3]);
  const message = /^backward: expected a tensor that this tape made .*, got relu\.y, which requires none/;
  const tape = open();
  await rejects(() => tape.backward(activation(tape, x, 'relu'), x), ValidationError, message);
  const frozen = new Tape(new Plan(device), { noGrad: true });
  const y = linear(frozen, x, weights('w', [2, 3]));
  await rejects(() => frozen.backward(y, y), ValidationError, /got linear\.y, .*: the tape was recorded with noGrad/);
  const other = open();
  const theirs = linear(other, x, weights('w', [2, 3]));
  await rejects(() => open().backward(theirs, theirs), ValidationError, /got linear\.y/);
});

test('an output goes back once, by whichever object it is told', async () => {
  const tape = open();
  const y = linear(tape, made('x', [4, 3]), weights('w', [2, 3]));
  const dy = made('dy', [4, 2]);
  tape.backward(y, dy);
  for (const again of [y, { ...y }])
    await rejects(() => tape.backward(again, dy), ValidationError, /^backward: already called on linear\.y/);
});

test('outputs of one trunk go back one after the other, and their gradients add up', async () => {
  const [x, w] = [made('x', [4, 3]), weights('w', [3, 3])];
  const [da, db] = [made('da', [4, 3]), made('db', [4, 3])];
  const tape = open();
  tape.requireGrad(x);
  const h = linear(tape, x, w);
  tape.backward(activation(tape, h, 'sigmoid'), da);
  tape.backward(activation(tape, h, 'silu'), db);
  await rejects(
    () => tape.gradient(h),
    ValidationError,
    /^gradient: .* linear\.y, got several; call requireGrad\(\) on it/,
  );
  const [dx] = await results(tape.plan, tape.gradient(x));
  const dw = await tape.plan.read(w.grad as Tensor);

  const [w2, parts] = [{ ...w, grad: weights('w2', [3, 3]).grad as Tensor }, open()];
  parts.requireGrad(x);
  const trunk = linear(parts, x, w2);
  const [a, b] = [activation(parts, trunk, 'sigmoid'), activation(parts, trunk, 'silu')];
  // the same as one output: the two beside each other are weighed by their own gradients
  const sum = parts.record('both', [a, b], add(new Tape(parts.plan, { noGrad: true }), a, b), () => [da, db]);
  parts.backward(sum, da);
  const [expected] = await results(parts.plan, parts.gradient(x));
  close(dx, expected, 'dx of both');
  close(dw, await parts.plan.read(w2.grad), 'dw of both');
});

test('a loss that made its gradient in its forward goes back once', async () => {
  const tape = open();
  const [a, b] = [tape.requireGrad(made('a', [6, 4])), tape.requireGrad(made('b', [6, 4]))];
  const { loss } = crossCorrelation(tape, a, b);
  const total = add(tape, loss, loss);
  tape.backward(total, made('one', [1]));
  await rejects(
    () => tape.backward(loss, made('one', [1])),
    ValidationError,
    /^crossCorrelation: backward already ran/,
  );
});

test('gradients that an op hands on are of the shape of its input, dense and f32', async () => {
  const wrong: Readonly<Record<string, (dy: Tensor) => Tensor>> = {
    'of another shape': (dy) => reshapeView(dy, [3, 4]),
    'a view': () => narrowView(made('wide', [4, 6]), 0, 3),
    turned: () => transposeView(made('turned', [3, 4])),
    f16: () => tensor(device.buffer('halves', 64), 'halves', [4, 3], 0, 'f16'),
  };
  for (const gradient of Object.values(wrong)) {
    const tape = open();
    const x = tape.requireGrad(made('x', [4, 3]));
    const y = tape.record('mine', [x], tape.accumulate(x, x), (dy) => [gradient(dy)]);
    await rejects(() => tape.backward(y, made('dy', [4, 3])), ShapeError, /^mine: gradient of x: expected a dense f32/);
  }
  const tape = open();
  const x = tape.requireGrad(made('x', [4, 3]));
  const y = tape.record('mine', [x], tape.accumulate(x, x), () => []);
  await rejects(() => tape.backward(y, made('dy', [4, 3])), ValidationError, /^mine: expected 1 gradients, got 0/);
  const view = narrowView(made('wide', [4, 6]), 0, 3);
  const z = activation(tape, x, 'relu');
  await rejects(() => tape.backward(z, view), ShapeError, /^backward: dy: expected a dense f32 tensor \(4, 3\)/);
});

test('what the backward reads was not written since the forward', async () => {
  const by: Readonly<Record<string, (tape: Tape) => void>> = {
    queue_push: (tape) => {
      const queue = made('queue', [7, 3]);
      const y = contrastiveLogits(tape, tape.requireGrad(made('q', [4, 3])), undefined, queue);
      queuePush(tape.plan, queue, made('rows', [2, 3]));
      tape.backward(y, made('dy', [4, 7]));
    },
    l2_normalize: (tape) => {
      const x = made('x', [4, 3]);
      const y = linear(tape, x, weights('w', [2, 3]));
      l2NormalizeInPlace(tape.plan, x);
      tape.backward(y, made('dy', [4, 2]));
    },
    matmul: (tape) => {
      const x = tape.requireGrad(made('x', [4, 4]));
      const y = l2Normalize(tape, x);
      matmulInto(tape.plan, { a: made('a', [4, 4]), b: made('b', [4, 4]), out: x, accumulate: true });
      tape.backward(y, made('dy', [4, 4]));
    },
    sgd: (tape) => {
      const parameters = new Parameters(device, [parameter('w', [2, 3], () => 1)], []);
      const y = linear(tape, tape.requireGrad(made('x', [4, 3])), parameters.tensor('w', 'host'));
      sgd(tape.plan, parameters);
      tape.backward(y, made('dy', [4, 2]));
    },
    clear: (tape) => {
      const h = linear(tape, made('x', [4, 3]), weights('w', [2, 3]));
      const y = activation(tape, h, 'silu');
      tape.plan.clear(h);
      tape.backward(y, made('dy', [4, 2]));
    },
  };
  for (const [writer, record] of Object.entries(by))
    await rejects(
      () => record(open()),
      ValidationError,
      new RegExp(`was modified in place by ${writer}\\S* after \\w+ read it; record ${writer}\\S* behind the backward`),
    );
});

test('what the backward has read may be written behind it, and gradients may be made between the two', async () => {
  const tape = open();
  const queue = made('queue', [7, 3]);
  const y = contrastiveLogits(tape, tape.requireGrad(made('q', [4, 3])), undefined, queue);
  const dy = tape.accumulate(made('a', [4, 7]), made('b', [4, 7]));
  tape.backward(y, dy);
  queuePush(tape.plan, queue, made('rows', [2, 3]));
  await tape.plan.compile();
  tape.plan.dispose();
});

test('another object of the same view is the same tensor; another view loses no gradient in silence', async () => {
  const x = made('x', [4, 3]);
  const dy = made('dy', [4, 3]);
  const gradientThrough = async (again: (y: Tensor, tape: Tape) => Tensor) => {
    const tape = open();
    tape.requireGrad(x);
    tape.backward(activation(tape, again(activation(tape, x, 'silu'), tape), 'sigmoid'), dy);
    const [dx] = await results(tape.plan, tape.gradient(x));
    return dx;
  };
  const expected = await gradientThrough((y) => y);
  close(await gradientThrough((y) => ({ ...y })), expected, 'a copy of the object');
  close(await gradientThrough((y) => reshapeView(y, [4, 3])), expected, 'the same shape');
  close(await gradientThrough((y, tape) => tape.reshape(y, [4, 3])), expected, 'the same shape, on the tape');
  close(
    await gradientThrough((y, tape) => tape.reshape(tape.reshape(y, [12]), [4, 3])),
    expected,
    'another shape and back, on the tape',
  );
  const views: readonly ((y: Tensor) => Tensor)[] = [
    (y) => reshapeView(y, [12]),
    (y) => sliceView(y, [2, 3]),
    (y) => narrowView(y, 0, 2),
  ];
  for (const view of views) {
    const tape = open();
    const y = activation(tape, tape.requireGrad(x), 'silu');
    await rejects(() => activation(tape, view(y), 'relu'), ShapeError, /relu|activation/);
  }
  const tape = open();
  const y = activation(tape, tape.requireGrad(x), 'silu');
  await rejects(
    () => activation(tape, reshapeView(y, [12]), 'relu'),
    ShapeError,
    /^relu: expected a tensor of the tape, got silu\.y \(12\), a view of silu\.y \(4, 3\) that loses its gradient/,
  );
});

test("a parameter's gradient is a view like its own", async () => {
  const w = weights('w', [2, 3]);
  const other: Tensor = { ...w, grad: made('dw', [3, 2]) };
  await rejects(
    () => linear(open(), made('x', [4, 3]), other),
    ShapeError,
    /^linear: expected the gradient of w to be a view/,
  );
  assert.ok(w.grad);
});

test.run();
