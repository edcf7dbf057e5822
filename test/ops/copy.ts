import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ShapeError } from '../../src/errors.js';
import { add } from '../../src/ops/add.js';
import { concat, contiguous, detach, narrow, slice, transpose } from '../../src/ops/copy.js';
import { exp, mul } from '../../src/ops/elementwise.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { narrowView, numel, sliceView, transient, transposeView } from '../../src/tensor/tensor.js';
import { checkOp, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** Calls `visit` with the index of each element of a part of x, the positions from `start` on along side d. */
function eachOf(shape: readonly number[], d: number, start: number, length: number, visit: (at: number) => void): void {
  const inner = numel(shape.slice(d + 1));
  for (let i = 0; i < numel(shape); i++) {
    const position = Math.floor(i / inner) % shape[d];
    if (position >= start && position < start + length) visit(i);
  }
}

for (const { shape, dim, start, length } of [
  { shape: [1], dim: 0, start: 0, length: 1 },
  { shape: [5, 7], dim: 0, start: 2, length: 3 },
  { shape: [5, 7], dim: 1, start: 3, length: 2 },
  { shape: [5, 7], dim: -1, start: 0, length: 7 },
  { shape: [3, 4, 5, 6], dim: 2, start: 1, length: 3 },
  { shape: [2, 3, 2, 3, 7], dim: 2, start: 1, length: 1 },
])
  test(`narrow of ${shape}, ${length} from ${start} on along ${dim}, and its gradient`, async () => {
    const d = dim < 0 ? dim + shape.length : dim;
    await checkOp(device, 'narrow', {
      inputs: { x: shape },
      run: (tape, { x }) => {
        const y = narrow(tape, x, dim, start, length);
        assert.equal(y.shape, Object.assign([...shape], { [d]: length }));
        return y;
      },
      reference: ({ x, dy }) => {
        const [y, dx] = [[] as number[], new Float64Array(x.length)];
        eachOf(shape, d, start, length, (at) => {
          dx[at] = dy[y.length];
          y.push(x[at]);
        });
        return { y: Float64Array.from(y), dx };
      },
    });
  });

test('slice of a block, and its gradient', async () => {
  const [shape, block] = [
    [5, 4, 3],
    [2, 4, 2],
  ];
  const at = (i: number) => Math.floor(i / 8) * 12 + Math.floor((i % 8) / 2) * 3 + (i % 2);
  await checkOp(device, 'slice', {
    inputs: { x: shape },
    run: (tape, { x }) => slice(tape, x, block),
    reference: ({ x, dy }) => {
      const dx = new Float64Array(60);
      dy.forEach((value, i) => {
        dx[at(i)] = value;
      });
      return { y: Float64Array.from({ length: 16 }, (_, i) => x[at(i)]), dx };
    },
  });
  const tape = new Tape(new Plan(device));
  for (const wrong of [
    [5, 4],
    [6, 4, 3],
    [0, 4, 3],
  ])
    await rejects(() => slice(tape, transient(tape.plan, 'x', shape), wrong), ShapeError, /^(slice|narrow): expected/);
});

test('parts that overlap: their gradients meet', async () => {
  await checkOp(device, 'narrow', {
    inputs: { x: [5, 3] },
    run: (tape, { x }) => mul(tape, narrow(tape, x, 0, 0, 4), narrow(tape, x, 0, 1, 4)),
    reference: ({ x, dy }) => ({
      y: Float64Array.from(dy, (_, i) => x[i] * x[i + 3]),
      dx: x.map((_, i) => (i < 12 ? dy[i] * x[i + 3] : 0) + (i >= 3 ? dy[i - 3] * x[i - 3] : 0)),
    }),
  });
});

for (const [dim, a, b] of [
  [0, [3, 5], [4, 5]],
  [1, [3, 5], [3, 7]],
  [-1, [2, 3, 5], [2, 3, 1]],
  [1, [2, 3, 5, 2], [2, 1, 5, 2]],
] as const)
  test(`concat of ${a}, ${b} and the first again along ${dim}, and its gradients`, async () => {
    const d = dim < 0 ? dim + a.length : dim;
    const total = 2 * a[d] + b[d];
    const to = a.map((side: number, i: number) => (i === d ? total : side));
    await checkOp(device, 'concat', {
      inputs: { a, b },
      run: (tape, tensors) => {
        const y = concat(tape, [tensors.a, tensors.b, tensors.a], dim);
        assert.equal(y.shape, to);
        return y;
      },
      reference: ({ dy, ...values }) => {
        const y = new Float64Array(numel(to));
        const gradients = { a: new Float64Array(numel(a)), b: new Float64Array(numel(b)) };
        let start = 0;
        for (const name of ['a', 'b', 'a'] as const) {
          const side = { a, b }[name][d];
          let i = 0;
          eachOf(to, d, start, side, (at) => {
            y[at] = values[name][i];
            gradients[name][i++] += dy[at];
          });
          start += side;
        }
        return { y, da: gradients.a, db: gradients.b };
      },
    });
  });

for (const [N, D] of [
  [1, 1],
  [5, 7],
  [130, 67],
])
  test(`transpose of ${N}, ${D}, and its gradient`, async () => {
    await checkOp(device, 'transpose', {
      inputs: { x: [N, D] },
      run: (tape, { x }) => transpose(tape, x),
      reference: ({ x, dy }) => ({
        y: x.map((_, i) => x[(i % N) * D + Math.floor(i / N)]),
        dx: dy.map((_, i) => dy[(i % D) * N + Math.floor(i / D)]),
      }),
    });
  });

test('views of a weight are copied, and their gradients are added where they lie', async () => {
  const host = [7, 9];
  const random = generator();
  const [data, before, given] = [randoms(random, 63), randoms(random, 63), randoms(random, 63)];
  const views = {
    prefix: {
      make: (w: typeof whole) => sliceView(w, [4, 5]),
      at: (i: number) => Math.floor(i / 5) * 9 + (i % 5),
      n: 20,
    },
    columns: {
      make: (w: typeof whole) => narrowView(w, 3, 4),
      at: (i: number) => Math.floor(i / 4) * 9 + 3 + (i % 4),
      n: 28,
    },
    transposed: {
      make: (w: typeof whole) => transposeView(w),
      at: (i: number) => (i % 7) * 9 + Math.floor(i / 7),
      n: 63,
    },
  };
  const whole = upload(device, 'weight', host, data, before);
  for (const [name, { make, at, n }] of Object.entries(views)) {
    device.write(whole.grad, before);
    using plan = new Plan(device);
    const tape = new Tape(plan);
    const y = contiguous(tape, make(whole));
    const dy = upload(device, 'dy', y.shape, given.slice(0, n));
    tape.backward(y, dy);
    plan.retain(y);
    await plan.compile();
    plan.poison();
    plan.run();
    const read = (await plan.read(y)).slice(0, n);
    assert.equal(
      read,
      Float32Array.from(read, (_, i) => data[at(i)]),
      name,
    );
    const expected = before.slice();
    for (let i = 0; i < n; i++) expected[at(i)] += given[i];
    assert.equal(await plan.read(whole.grad), expected, `the gradient by ${name}`);
    device.free(dy);
  }
  whole.dispose();
});

test('views of f16 count two bytes an element, and those of a parameter have the same view of its gradient', () => {
  const x = transient(new Plan(device), 'x', [4, 6], 'f16');
  const [block, part] = [sliceView(x, [2, 3]), narrowView(x, 2, 3)];
  assert.equal([block.bytes, part.offset, part.bytes], [18, 4, 42]);
  const full = transient(new Plan(device), 'x', [4, 6]);
  assert.equal(narrowView({ ...full, grad: full }, 2, 3).grad, narrowView(full, 2, 3));
});

test('what is dense stays where it is', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = tape.requireGrad(tape.empty('x', [4, 6]));
  assert.is(contiguous(tape, x), x);
  assert.is(plan.dispatches.length, 0);
});

test('no gradient flows through what is detached', async () => {
  await checkOp(device, 'detach', {
    inputs: { x: [5, 7] },
    run: (tape, { x }) => mul(tape, x, detach(tape, exp(tape, x))),
    reference: ({ x, dy }) => ({ y: x.map((v) => v * Math.exp(v)), dx: dy.map((g, i) => g * Math.exp(x[i])) }),
  });
  await checkOp(device, 'detach', {
    inputs: { x: [5, 7] },
    weights: { weight: { host: [6, 7], slim: [5, 7] } },
    run: (tape, { x, weight }) => add(tape, x, detach(tape, weight)),
    reference: ({ x, weight, dy }) => ({ y: x.map((v, i) => v + weight[i]), dx: dy, dweight: dy.map(() => 0) }),
  });
});

test('what does not fit is refused by name', async () => {
  const tape = new Tape(new Plan(device));
  const make = (...shape: number[]) => tape.empty('x', shape);
  await rejects(
    () => narrow(tape, make(4, 6), 1, 3, 4),
    ShapeError,
    /narrow: expected positions of dimension 1 of \(4, 6\), at least 1, got 4 from 3 on/,
  );
  await rejects(
    () => narrow(tape, make(4), 1, 0, 1),
    ShapeError,
    /narrow: expected a dim from -1 to 0 of \(4\), got 1/,
  );
  await rejects(() => concat(tape, []), ShapeError, /concat: expected at least one tensor, got none/);
  await rejects(
    () => concat(tape, [make(4, 6), make(4, 5)]),
    ShapeError,
    /concat: expected shapes equal except in dimension 0, got \(4, 6\) and \(4, 5\)/,
  );
  await rejects(() => transpose(tape, make(4)), ShapeError, /transpose: expected x \(N, D\), got \(4\)/);
});

test.run();
