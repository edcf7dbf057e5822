import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ShapeError } from '../../src/errors.js';
import { contrastiveLogits } from '../../src/ops/contrastive_logits.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { checkOp, close, largest, upload } from '../check.js';
import { openTestDevice, pretend } from '../device.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

type Values = Record<string, Float64Array>;

/** The definition, in f64: q against own and queue, or against the queue alone. */
function reference({ q, own, queue, dy }: Values, D: number): Values {
  const [N, K] = [q.length / D, queue.length / D];
  const first = own ? 1 : 0;
  const ld = first + K;
  const y = new Float64Array(N * ld);
  const [dq, down, dqueue] = [q, own ?? [], queue].map(({ length }) => new Float64Array(length));
  for (let n = 0; n < N; n++)
    for (let column = 0; column < ld; column++)
      for (let d = 0; d < D; d++) {
        const key = column < first ? own[n * D + d] : queue[(column - first) * D + d];
        y[n * ld + column] += q[n * D + d] * key;
        dq[n * D + d] += dy[n * ld + column] * key;
        const [of, at] = column < first ? [down, n * D + d] : [dqueue, (column - first) * D + d];
        of[at] += dy[n * ld + column] * q[n * D + d];
      }
  return { y, dq, dqueue, ...(own && { down }) };
}

/** Of one query and two keys, dq is a sum of two. */
const terms = ({ q, own = q, queue, dy }: Values) => ({ dq: largest(dy) * Math.min(largest(own), largest(queue)) });

const shapes = [
  { N: 1, D: 1, K: 1 },
  { N: 3, D: 7, K: 5 },
  { N: 17, D: 130, K: 66 },
  { N: 33, D: 64, K: 513 },
  { N: 2, D: 12, K: 3000 },
];
for (const { N, D, K } of shapes) {
  for (const form of ['alone', 'few', 'many', 'workgroup'])
    test(`own key and queue, ${form}, N ${N}, D ${D}, K ${K}`, async () => {
      await checkOp(device, 'contrastiveLogits', {
        variants: { contrastiveLogits: form },
        inputs: { q: [N, D], own: [N, D], queue: [K, D] },
        run: (tape, { q, own, queue }) => contrastiveLogits(tape, q, own, queue),
        reference: (values) => reference(values, D),
        terms,
      });
    });
  test(`queue alone, N ${N}, D ${D}, K ${K}`, async () => {
    await checkOp(device, 'contrastiveLogits', {
      inputs: { q: [N, D], queue: [K, D] },
      run: (tape, { q, queue }) => contrastiveLogits(tape, q, undefined, queue),
      reference: (values) => reference(values, D),
    });
  });
}

for (const form of ['plain', 'register', 'shared64', 'shared32'])
  test(`every form of the products writes and reads beside the first column, ${form}`, async () => {
    const [N, D, K] = [70, 24, 130];
    await checkOp(device, 'contrastiveLogits', {
      variants: { matmul: form },
      inputs: { q: [N, D], own: [N, D], queue: [K, D] },
      run: (tape, { q, own, queue }) => contrastiveLogits(tape, q, own, queue),
      reference: (values) => reference(values, D),
    });
  });

test('products that are cut into panels of rows', async () => {
  const [N, D, K] = [150, 8, 20];
  const cut = pretend(device, { dispatchMacs: 64 * D * K });
  await checkOp(cut, 'contrastiveLogits', {
    inputs: { q: [N, D], own: [N, D], queue: [K, D] },
    run: (tape, { q, own, queue }) => contrastiveLogits(tape, q, own, queue),
    reference: (values) => reference(values, D),
  });
});

test('constants get no gradient, and nothing is computed for one', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const [q, own, queue] = [4, 4, 9].map((rows) => tape.empty('x', [rows, 5]));
  tape.requireGrad(q);
  const logits = contrastiveLogits(tape, q, own, queue);
  const before = plan.dispatches.length;
  tape.backward(logits, tape.empty('dy', [4, 10]));
  assert.ok(tape.gradient(q));
  assert.is(tape.gradient(own), undefined);
  assert.is(tape.gradient(queue), undefined);
  assert.is(plan.dispatches.length - before, 2);
});

test('keys that are weights have their gradients added in place', async () => {
  const [N, D, K] = [6, 5, 4];
  await checkOp(device, 'contrastiveLogits', {
    inputs: { q: [N, D] },
    weights: { own: { host: [N + 1, D], slim: [N, D] }, queue: { host: [K + 2, D + 1], slim: [K, D] } },
    run: (tape, { q, own, queue }) => contrastiveLogits(tape, q, own, queue),
    reference: (values) => reference(values, D),
  });
});

test('a matrix that is its own keys and the queue gets all three gradients', async () => {
  const [N, D] = [6, 5];
  await checkOp(device, 'contrastiveLogits', {
    inputs: { x: [N, D] },
    run: (tape, { x }) => contrastiveLogits(tape, x, x, x),
    reference: ({ x, ...rest }) => {
      const { y, dq, down, dqueue } = reference({ q: x, own: x, queue: x, ...rest }, D);
      return { y, dx: dq.map((g, i) => g + down[i] + dqueue[i]) };
    },
  });
});

test('a queue of 65,536 keys', async () => {
  const [N, D, K] = [5, 4, 65_536];
  const random = generator();
  const [qData, keys] = [randoms(random, N * D), randoms(random, K * D)];
  using plan = new Plan(device);
  const tape = new Tape(plan);
  const q = upload(device, 'q', [N, D], qData);
  const queue = upload(device, 'queue', [K, D], keys);
  const logits = contrastiveLogits(tape, q, q, queue);
  plan.retain(logits);
  await plan.compile();
  plan.poison();
  plan.run();
  const values = { q: Float64Array.from(qData), own: Float64Array.from(qData), queue: Float64Array.from(keys) };
  const { y } = reference({ ...values, dy: new Float64Array(N * (K + 1)) }, D);
  close((await plan.read(logits)).subarray(0, y.length), y, 'logits');
  for (const each of [q, queue]) device.free(each);
});

test('shapes that do not fit are refused by name', async () => {
  const tape = new Tape(new Plan(device));
  const make = (...shape: number[]) => tape.empty('x', shape);
  await rejects(
    () => contrastiveLogits(tape, make(4), undefined, make(9, 5)),
    ShapeError,
    /contrastiveLogits: expected q \(N, D\), all above 0, got \(4\)/,
  );
  await rejects(
    () => contrastiveLogits(tape, make(4, 5), make(4, 6), make(9, 5)),
    ShapeError,
    /contrastiveLogits: expected own \(4, 5\) as q is, got \(4, 6\)/,
  );
  await rejects(
    () => contrastiveLogits(tape, make(4, 5), make(4, 5), make(9, 6)),
    ShapeError,
    /contrastiveLogits: expected queue \(Q, 5\) for q \(4, 5\), got \(9, 6\)/,
  );
});

test.run();
