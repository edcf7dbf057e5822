import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ShapeError } from '../../src/errors.js';
import { type MatmulIntoOptions, matmul, matmulInto } from '../../src/ops/matmul.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { statsOf } from '../../src/runtime/stats.js';
import { narrowView, numel, type Tensor } from '../../src/tensor/tensor.js';
import { checkOp, close, upload } from '../check.js';
import { openTestDevice, pretend } from '../device.js';
import { generator, randoms, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const forms = ['plain', 'register', 'shared64', 'shared32', 'subgroup4', 'subgroup8'];
const runs = (form: string) => !form.startsWith('subgroup') || Number(form.slice(8)) <= device.subgroupSize;

interface Case {
  M: number;
  N: number;
  K: number;
  /** Elements before the columns of a, b and out. */
  before?: [number, number, number];
  /** Elements beyond them. */
  beyond?: [number, number, number];
  scale?: number;
  accumulate?: boolean;
  /** b is a. */
  gram?: boolean;
}

/** A matrix whose rows start before its columns and go on beyond them, with NaN. */
function matrix(label: string, [rows, count]: number[], before: number, beyond: number, random: () => number) {
  const ld = before + count + beyond;
  const data = new Float32Array(rows * ld).fill(Number.NaN);
  for (let r = 0; r < rows; r++) data.set(randoms(random, count), r * ld + before);
  const whole = upload(device, label, [rows, ld], data);
  return {
    data,
    ld,
    at: (r: number, column: number) => r * ld + before + column,
    view: narrowView(whole, before, count),
    whole,
  };
}

/** The product by `form`, checked against f64, that it repeats bit for bit, and that nothing else is written. */
async function check(c: Case, transposeA: boolean, transposeB: boolean, form?: string, on = device) {
  const { M, N, K, before = [0, 0, 0], beyond = [0, 0, 0], scale = 1, accumulate = false, gram = false } = c;
  const random = generator(seed);
  const a = matrix('a', transposeA ? [K, M] : [M, K], before[0], beyond[0], random);
  const b = gram ? a : matrix('b', transposeB ? [N, K] : [K, N], before[1], beyond[1], random);
  const out = matrix('out', [M, N], before[2], beyond[2], random);
  if (!accumulate) out.data.fill(Number.NaN);

  const expected = new Float64Array(M * N);
  for (let m = 0; m < M; m++)
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let k = 0; k < K; k++)
        sum += a.data[transposeA ? a.at(k, m) : a.at(m, k)] * b.data[transposeB ? b.at(n, k) : b.at(k, n)];
      expected[m * N + n] = scale * sum + (accumulate ? out.data[out.at(m, n)] : 0);
    }

  const key = `matmul.${transposeA ? 't' : 'n'}${transposeB ? 't' : 'n'}`;
  using plan = new Plan(on, form ? { variants: { [key]: form } } : {});
  matmulInto(plan, { a: a.view, b: b.view, out: out.view, transposeA, transposeB, scale, accumulate });
  assert.is(statsOf(plan).macs, M * N * K);
  await plan.compile();
  const once = async () => {
    plan.poison();
    device.write(out.whole, out.data);
    plan.run();
    return plan.read(out.whole);
  };
  const first = await once();
  const second = await once();
  assert.equal(new Uint32Array(first.buffer), new Uint32Array(second.buffer), `${form} repeats bit for bit`);
  const result = new Float32Array(M * N);
  for (let m = 0; m < M; m++) {
    result.set(first.subarray(out.at(m, 0), out.at(m, N)), m * N);
    const rest = [...first.subarray(m * out.ld, out.at(m, 0)), ...first.subarray(out.at(m, N), (m + 1) * out.ld)];
    assert.ok(rest.every(Number.isNaN), `${form} writes nothing beside row ${m} (seed ${seed})`);
  }
  close(result, expected, `${key} ${form ?? 'default'}`);
  device.release([a.whole, b.whole, out.whole]);
  return result;
}

const cases: Case[] = [
  { M: 1, N: 1, K: 1 },
  { M: 5, N: 3, K: 7, beyond: [2, 1, 3] },
  { M: 16, N: 64, K: 32, scale: 0.25 },
  { M: 33, N: 45, K: 43, beyond: [21, 23, 19], accumulate: true },
  { M: 24, N: 42, K: 30, beyond: [2, 2, 2], scale: -1.5, accumulate: true },
  { M: 70, N: 129, K: 17, beyond: [1, 3, 0] },
  { M: 9, N: 10, K: 1030, beyond: [2, 2, 5], scale: 0.1 },
  { M: 19, N: 37, K: 130, before: [1, 5, 3], beyond: [0, 2, 1], accumulate: true },
  { M: 12, N: 72, K: 36, before: [4, 68, 65], beyond: [0, 4, 1] },
  { M: 8, N: 40, K: 700, beyond: [4, 4, 4], scale: 2, accumulate: true },
];
for (const c of cases)
  for (const [transposeA, transposeB] of [
    [false, true],
    [false, false],
    [true, false],
    [true, true],
  ]) {
    const layout = `${transposeA ? 'Aᵀ' : 'A'} ${transposeB ? 'Bᵀ' : 'B'}`;
    test(`${layout}, M${c.M} N${c.N} K${c.K}${c.accumulate ? ' accumulated' : ''}${c.before ? ' within rows' : ''}: every form agrees`, async () => {
      const plain = await check(c, transposeA, transposeB, 'plain');
      for (const form of forms.filter(runs))
        close(await check(c, transposeA, transposeB, form), plain, `${form} against plain`);
      await check(c, transposeA, transposeB);
    });
  }

test('on hardware, whose sums fall into more parts, and with workgroups folded over two dimensions', async () => {
  const hardware = pretend(device, { software: false, limits: { maxComputeWorkgroupsPerDimension: 12 } });
  const c: Case = { M: 70, N: 70, K: 600, beyond: [2, 2, 2], scale: 3, accumulate: true };
  for (const form of [...forms.filter(runs), undefined])
    for (const transposeA of [false, true])
      for (const transposeB of [false, true]) await check(c, transposeA, transposeB, form, hardware);
});

test('a Gram matrix A Aᵀ is symmetric in every form', async () => {
  for (const form of forms.filter(runs)) {
    const [N, D] = [37, 200];
    const gram = await check({ M: N, N, K: D, gram: true, beyond: [4, 0, 1] }, false, true, form);
    for (let i = 0; i < N; i++) for (let j = 0; j < i; j++) assert.is(gram[i * N + j], gram[j * N + i], form);
  }
});

/** op(a) op(b) in f64, by indices. */
const product = (a: Float64Array, b: Float64Array, [M, N, K]: number[], ta: boolean, tb: boolean) =>
  Float64Array.from({ length: M * N }, (_, i) => {
    const [m, n] = [Math.floor(i / N), i % N];
    let sum = 0;
    for (let k = 0; k < K; k++) sum += a[ta ? k * M + m : m * K + k] * b[tb ? n * K + k : k * N + n];
    return sum;
  });
const turned = (x: Float64Array, rows: number, count: number) =>
  x.map((_, i) => x[(i % rows) * count + Math.floor(i / rows)]);

for (const [M, N, K] of [
  [1, 1, 1],
  [5, 3, 7],
  [33, 45, 130],
])
  for (const transposeA of [false, true])
    for (const transposeB of [false, true]) {
      const [a, b] = [transposeA ? [K, M] : [M, K], transposeB ? [N, K] : [K, N]];
      const reference = (values: Record<string, Float64Array>) => {
        const da = product(values.dy, values.b, [M, K, N], false, !transposeB);
        const db = product(values.a, values.dy, [K, N, M], !transposeA, false);
        return {
          y: product(values.a, values.b, [M, N, K], transposeA, transposeB),
          da: transposeA ? turned(da, M, K) : da,
          db: transposeB ? turned(db, K, N) : db,
        };
      };
      const run = (tape: Tape, t: Record<string, Tensor>) => matmul(tape, t.a, t.b, { transposeA, transposeB });
      test(`on the tape, ${a} by ${b}, transposed ${transposeA} ${transposeB}: gradients of both`, async () => {
        await checkOp(device, 'matmul', { inputs: { a, b }, run, reference });
      });
      if (K === 7)
        test(`on the tape, a leading block of a weight and a listed one, transposed ${transposeA} ${transposeB}`, async () => {
          const wider = ([rows, count]: number[]) => [rows + 2, count + 3];
          const weights = {
            a: { host: wider(a), slim: a },
            b: { host: wider(b), slim: b, kept: [Array.from({ length: b[0] }, (_, i) => i + 2)] as const },
          };
          await checkOp(device, 'matmul', { inputs: {}, weights, run, reference });
        });
    }

test('on the tape, a matrix with itself: both gradients meet', async () => {
  const [N, D] = [17, 9];
  await checkOp(device, 'matmul', {
    inputs: { x: [N, D] },
    run: (tape, { x }) => matmul(tape, x, x, { transposeB: true }),
    reference: ({ x, dy }) => {
      const [one, other] = [dy, turned(dy, N, N)].map((g) => product(g, x, [N, D, N], false, false));
      return { y: product(x, x, [N, N, D], false, true), dx: one.map((g, i) => g + other[i]) };
    },
  });
});

test('on the tape, columns of a wider matrix are read where they lie', async () => {
  const [M, N, K] = [5, 3, 7];
  await checkOp(device, 'matmul', {
    inputs: { a: [M, K + 2], b: [K, N] },
    run: (tape, t) => matmul(tape, tape.requireGrad(narrowView(t.a, 1, K)), t.b),
    reference: ({ a, b, dy }) => {
      const part = Float64Array.from({ length: M * K }, (_, i) => a[Math.floor(i / K) * (K + 2) + 1 + (i % K)]);
      return { y: product(part, b, [M, N, K], false, false), db: product(part, dy, [K, N, M], true, false) };
    },
  });
});

test('shapes that do not fit on the tape are refused by name', () => {
  const tape = new Tape(new Plan(device));
  const make = (...shape: number[]) => tape.empty('x', shape);
  for (const [a, b, pattern] of [
    [make(4), make(4, 5), /matmul: expected nonempty matrices, got \(4\) and \(4, 5\)/],
    [make(4, 6), make(5, 6), /matmul: expected op\(A\) \(M, K\), op\(B\) \(K, N\).*got \(4, 6\), \(5, 6\)/],
  ] as const)
    assert.throws(
      () => matmul(tape, a, b),
      (error: Error) => error instanceof ShapeError && pattern.test(error.message),
    );
});

test('views that do not fit are refused by name', () => {
  const make = (shape: number[]) => upload(device, 'x', shape, new Float32Array(numel(shape)));
  const refuse = (options: MatmulIntoOptions, pattern: RegExp) =>
    assert.throws(
      () => matmulInto(new Plan(device), options),
      (error: Error) => error instanceof ShapeError && pattern.test(error.message),
    );
  const [a, b] = [make([4, 6]), make([6, 5])];
  refuse({ a, b, out: make([4, 6]) }, /matmul: expected .* out \(M, N\), got \(4, 6\), \(6, 5\) and \(4, 6\)/);
  refuse({ a, b, out: make([4, 5]), transposeB: true }, /got \(4, 6\), \(5, 6\) and \(4, 5\)/);
  assert.throws(() => narrowView(a, 2, 5), /narrowView: expected columns of x \(4, 6\), got 5 from 2 on/);
  refuse({ a: make([4, 6, 1]), b, out: make([4, 5]) }, /matmul: expected matrices/);
  const transposed: Tensor = { ...b, shape: [5, 6], strides: [1, 5] };
  refuse({ a, b: transposed, out: make([4, 5]), transposeB: true }, /matmul: expected rows of neighboring elements/);
  refuse(
    { a, b: { ...b, offset: 6 }, out: make([4, 5]) },
    /matmul: expected a view that starts on a multiple of 4 bytes/,
  );
});

test.run();
