import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ConfigError, ShapeError } from '../../src/errors.js';
import { add } from '../../src/ops/add.js';
import { div, exp, log, mul, scale, sqrt, square, sub } from '../../src/ops/elementwise.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, type Tensor } from '../../src/tensor/tensor.js';
import { checkOp, largest } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

type Binary = (tape: Tape, a: Tensor | number, b: Tensor | number) => Tensor;
type Two = (a: number, b: number) => number;

const binaries: Record<string, { op: Binary; f: Two; da: Two; db: Two }> = {
  add: { op: add, f: (a, b) => a + b, da: () => 1, db: () => 1 },
  sub: { op: sub, f: (a, b) => a - b, da: () => 1, db: () => -1 },
  mul: { op: mul, f: (a, b) => a * b, da: (_, b) => b, db: (a) => a },
  div: { op: div, f: (a, b) => a / b, da: (_, b) => 1 / b, db: (a, b) => -a / b ** 2 },
};
type One = (x: number) => number;
const unaries: Record<string, { op: (tape: Tape, x: Tensor) => Tensor; f: One; dx: One }> = {
  exp: { op: exp, f: Math.exp, dx: Math.exp },
  log: { op: log, f: Math.log, dx: (x) => 1 / x },
  sqrt: { op: sqrt, f: Math.sqrt, dx: (x) => 0.5 / Math.sqrt(x) },
  square: { op: square, f: (x) => x * x, dx: (x) => 2 * x },
  scale: { op: (tape, x) => scale(tape, x, -1.7), f: (x) => -1.7 * x, dx: () => -1.7 },
  '3 + x': { op: (tape, x) => add(tape, 3, x), f: (x) => 3 + x, dx: () => 1 },
  'x + 3': { op: (tape, x) => add(tape, x, 3), f: (x) => 3 + x, dx: () => 1 },
  '3 - x': { op: (tape, x) => sub(tape, 3, x), f: (x) => 3 - x, dx: () => -1 },
  'x - 3': { op: (tape, x) => sub(tape, x, 3), f: (x) => x - 3, dx: () => 1 },
  '3 x': { op: (tape, x) => mul(tape, 3, x), f: (x) => 3 * x, dx: () => 3 },
  'x 3': { op: (tape, x) => mul(tape, x, 3), f: (x) => 3 * x, dx: () => 3 },
  '3 / x': { op: (tape, x) => div(tape, 3, x), f: (x) => 3 / x, dx: (x) => -3 / x ** 2 },
  'x / 3': { op: (tape, x) => div(tape, x, 3), f: (x) => x / 3, dx: () => 1 / 3 },
};

/** Where element i of `to` lies in what is broadcast to it: NumPy's rule, one side at a time. */
function from(i: number, shape: readonly number[], to: readonly number[]): number {
  let [rest, stride, at] = [i, 1, 0];
  for (let d = to.length - 1; d >= 0; d--) {
    const side = shape[d - to.length + shape.length] ?? 1;
    at += side === 1 ? 0 : (rest % to[d]) * stride;
    stride *= side;
    rest = Math.floor(rest / to[d]);
  }
  return at;
}

const shapes: [a: number[], b: number[], to: number[]][] = [
  [[1], [1], [1]],
  [
    [3, 5],
    [3, 5],
    [3, 5],
  ],
  [
    [2, 3, 7, 5],
    [2, 3, 7, 5],
    [2, 3, 7, 5],
  ],
  [[7, 13], [13], [7, 13]],
  [
    [1, 13],
    [7, 13],
    [7, 13],
  ],
  [
    [7, 13],
    [7, 1],
    [7, 13],
  ],
  [[7, 13], [1], [7, 13]],
  [
    [131, 1],
    [1, 67],
    [131, 67],
  ],
  [[257, 5], [5], [257, 5]],
  [
    [3, 4, 5, 2],
    [4, 1, 1],
    [3, 4, 5, 2],
  ],
  [
    [3, 1, 5, 1],
    [1, 4, 1, 2],
    [3, 4, 5, 2],
  ],
  [
    [1, 6, 1],
    [6, 1],
    [1, 6, 1],
  ],
];

for (const [name, { op, f, da, db }] of Object.entries(binaries))
  for (const [a, b, to] of shapes)
    test(`${name} of ${a} and ${b}, and its gradients`, async () => {
      await checkOp(device, name, {
        inputs: { a, b },
        mean: 2,
        run: (tape, tensors) => {
          const y = op(tape, tensors.a, tensors.b);
          assert.equal(y.shape, to);
          return y;
        },
        reference: ({ dy, ...values }) => {
          const [y, ga, gb] = [numel(to), numel(a), numel(b)].map((n) => new Float64Array(n));
          for (let i = 0; i < y.length; i++) {
            const [ia, ib] = [from(i, a, to), from(i, b, to)];
            const [u, v] = [values.a[ia], values.b[ib]];
            y[i] = f(u, v);
            if (!dy) continue;
            ga[ia] += dy[i] * da(u, v);
            gb[ib] += dy[i] * db(u, v);
          }
          return { y, da: ga, db: gb };
        },
        // what is broadcast gets a sum
        terms: ({ dy, ...values }) => {
          const term = (slope: Two) =>
            largest(dy.map((g, i) => g * slope(values.a[from(i, a, to)], values.b[from(i, b, to)])));
          return { da: term(da), db: term(db) };
        },
      });
    });

for (const [name, { op, f, dx }] of Object.entries(unaries))
  for (const shape of [[1], [3, 5], [2, 3, 7, 5]])
    test(`${name} of ${shape}, and its gradient`, async () => {
      await checkOp(device, name, {
        inputs: { x: shape },
        mean: 2,
        run: (tape, { x }) => op(tape, x),
        reference: ({ x, dy }) => ({ y: x.map(f), dx: dy.map((g, i) => g * dx(x[i])) }),
      });
    });

test('the slopes above are what finite differences give', () => {
  const random = generator();
  const h = 1e-5;
  const near = (slope: number, difference: number, what: string) =>
    assert.ok(Math.abs(slope - difference / (2 * h)) < 1e-7 * (1 + Math.abs(slope)), what);
  for (let i = 0; i < 20; i++) {
    const [u, v] = [1 + random(), 1 + random()];
    for (const [name, { f, da, db }] of Object.entries(binaries)) {
      near(da(u, v), f(u + h, v) - f(u - h, v), `${name}, da`);
      near(db(u, v), f(u, v + h) - f(u, v - h), `${name}, db`);
    }
    for (const [name, { f, dx }] of Object.entries(unaries)) near(dx(u), f(u + h) - f(u - h), name);
  }
});

test('a tensor that is both operands gets the sum of both gradients', async () => {
  for (const [name, { op, f, da, db }] of Object.entries(binaries))
    await checkOp(device, name, {
      inputs: { x: [5, 7] },
      mean: 2,
      run: (tape, { x }) => op(tape, x, x),
      reference: ({ x, dy }) => ({
        y: x.map((v) => f(v, v)),
        dx: dy.map((g, i) => g * (da(x[i], x[i]) + db(x[i], x[i]))),
      }),
    });
});

const matrices = {
  whole: { host: [5, 7] },
  leading: { host: [6, 11], slim: [5, 7] },
  listed: {
    host: [9, 10],
    slim: [5, 7],
    kept: [
      [0, 2, 3, 6, 8],
      [1, 2, 4, 5, 6, 8, 9],
    ] as const,
  },
};
for (const [name, weight] of Object.entries(matrices))
  test(`a weight that is used twice, ${name}: gradients are added in place`, async () => {
    await checkOp(device, 'mul', {
      inputs: { x: [5, 7] },
      weights: { weight, bias: { host: [9], slim: [7] } },
      run: (tape, { x, weight, bias }) => add(tape, mul(tape, mul(tape, x, weight), weight), bias),
      reference: ({ x, weight: w, bias, dy }) => ({
        y: x.map((v, i) => v * w[i] ** 2 + bias[i % 7]),
        dx: dy.map((g, i) => g * w[i] ** 2),
        dweight: dy.map((g, i) => g * 2 * x[i] * w[i]),
        dbias: Float64Array.from(bias, (_, c) => dy.reduce((sum, g, i) => sum + (i % 7 === c ? g : 0), 0)),
      }),
    });
  });

test('a residual add of a weight adds to its gradient too', async () => {
  await checkOp(device, 'add', {
    inputs: { x: [3, 7] },
    weights: { weight: { host: [4, 7], slim: [3, 7] } },
    run: (tape, { x, weight }) => add(tape, x, weight),
    reference: ({ x, weight, dy }) => ({ y: x.map((v, i) => v + weight[i]), dx: dy, dweight: dy }),
  });
});

test('what the others do not need is not computed, and equal shapes are added by the kernel of their own', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = tape.requireGrad(tape.empty('x', [4, 6]));
  const constant = tape.empty('constant', [6]);
  tape.backward(add(tape, mul(tape, x, constant), x), tape.empty('dy', [4, 6]));
  assert.equal(
    plan.dispatches.map(({ label }) => label),
    ['elementwise.forward_broadcast', 'add.forward', 'elementwise.backward_input_broadcast', 'add.forward'],
  );
});

test('what does not fit is refused by name', async () => {
  const tape = new Tape(new Plan(device));
  const make = (...shape: number[]) => tape.empty('x', shape);
  for (const [name, { op }] of Object.entries(binaries)) {
    await rejects(
      () => op(tape, make(2, 3), make(3, 2)),
      ShapeError,
      new RegExp(`${name}: expected shapes that can be broadcast, sides equal or 1, got \\(2, 3\\) and \\(3, 2\\)`),
    );
    await rejects(() => op(tape, 1, 2), ShapeError, new RegExp(`${name}: expected a tensor at least on one side`));
  }
  await rejects(
    () => mul(tape, make(2, 2, 2, 2, 2), make(2, 1, 2, 1, 2)),
    ShapeError,
    /mul: expected at most 4 dimensions that cannot be merged, got 5 of \(2, 2, 2, 2, 2\); reshape it/,
  );
  await rejects(() => scale(tape, make(2), Number.NaN), ConfigError, /scale: expected finite numbers, got NaN/);
  await rejects(
    () => div(tape, make(2), 0),
    ConfigError,
    /^div: expected numbers that are finite, and none that divides by 0, got 0$/,
  );
});

test.run();
