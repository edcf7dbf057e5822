import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { add } from '../../src/ops/add.js';
import {
  correlation,
  crossCorrelation,
  crossCorrelationLoss,
  type LossOptions,
  type Standardized,
  standardize,
} from '../../src/ops/cross_correlation.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { selectView, sliceView, type Tensor } from '../../src/tensor/tensor.js';
import { chosen, close, upload, uploadList } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

type Values = ArrayLike<number>;

/** f64, columns first: out[i][n]. */
function standardized(z: Values, N: number, D: number) {
  const a: Float64Array[] = [];
  const r: number[] = [];
  for (let i = 0; i < D; i++) {
    const column = Float64Array.from({ length: N }, (_, n) => z[n * D + i]);
    const mean = column.reduce((sum, v) => sum + v, 0) / N;
    const variance = column.reduce((sum, v) => sum + (v - mean) ** 2, 0) / N;
    r[i] = 1 / Math.sqrt(variance + 1e-5);
    a[i] = column.map((v) => (v - mean) * r[i]);
  }
  return { a, r };
}

/** f64 by the definition: C whole, and the loss and its parts. */
function lossByDefinition(za: Values, zb: Values, N: number, D: number, lambda: number, scale: number) {
  const [u, v] = [standardized(za, N, D), standardized(zb, N, D)];
  const c = u.a.map((x) => Float64Array.from(v.a, (y) => x.reduce((sum, value, n) => sum + value * y[n], 0) / N));
  let [on, off, mean] = [0, 0, 0];
  for (let i = 0; i < D; i++) {
    for (let j = 0; j < D; j++) if (i !== j) off += c[i][j] ** 2;
    on += (c[i][i] - 1) ** 2;
    mean += c[i][i] / D;
  }
  return { u, v, c, on, off, mean, loss: scale * (on + lambda * off) };
}

/** The same, then G = dL/dC and back through the standardization of both. */
function reference(za: Values, zb: Values, N: number, D: number, lambda: number, scale = 1) {
  const found = lossByDefinition(za, zb, N, D, lambda, scale);
  const { u, v, c } = found;
  const G = c.map((row, i) => row.map((value, j) => 2 * scale * (i === j ? value - 1 : lambda * value)));
  const back = (x: typeof u, y: typeof u, slope: (i: number, j: number) => number) => {
    const dz = new Float64Array(N * D);
    for (let i = 0; i < D; i++) {
      const t = new Float64Array(N);
      for (let j = 0; j < D; j++) for (let n = 0; n < N; n++) t[n] += slope(i, j) * y.a[j][n];
      const R = x.a[i].reduce((sum, value, n) => sum + value * t[n], 0) / N;
      for (let n = 0; n < N; n++) dz[n * D + i] = (x.r[i] / N) * (t[n] - x.a[i][n] * R);
    }
    return dz;
  };
  return {
    ...found,
    dza: back(u, v, (i, j) => G[i][j]),
    dzb: back(v, u, (i, j) => G[j][i]),
  };
}

/** Two correlated batches whose columns have means of many sizes. */
function batches(N: number, D: number, mean = 5): [Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>] {
  const random = generator();
  const means = randoms(random, D, mean, mean);
  const za = randoms(random, N * D, 0, 2).map((v, i) => v + means[i % D]);
  const noise = randoms(random, N * D, 0.3, 1);
  return [za, za.map((v, i) => 0.7 * v + noise[i])];
}

/** Runs a plan twice on poisoned memory and returns what it left in the tensors. */
async function results(plan: Plan, tensors: Record<string, Tensor>): Promise<Record<string, Float32Array>> {
  for (const t of Object.values(tensors)) plan.retain(t);
  await plan.compile();
  const runs: Record<string, Float32Array>[] = [];
  for (let i = 0; i < 2; i++) {
    plan.poison();
    plan.run();
    const run: Record<string, Float32Array> = {};
    for (const [name, t] of Object.entries(tensors)) run[name] = await plan.read(t);
    runs.push(run);
  }
  for (const [name, first] of Object.entries(runs[0]))
    assert.equal(
      new Uint32Array(first.buffer),
      new Uint32Array(runs[1][name].buffer),
      `${name} repeats (seed ${seed})`,
    );
  return runs[0];
}

/** The recorded loss and its gradients. */
async function lossOf(
  za: Float32Array<ArrayBuffer>,
  zb: Float32Array<ArrayBuffer>,
  N: number,
  D: number,
  options: LossOptions,
  dloss = 1,
  variant = 'narrow',
) {
  const plan = new Plan(device, { variants: { cross_correlation: variant } });
  const tape = new Tape(plan);
  const [a, b] = [za, zb].map((z, i) => tape.requireGrad(upload(device, `z${i}`, [N, D], z)));
  const one = upload(device, 'dloss', [1], Float32Array.of(dloss));
  try {
    const found = crossCorrelation(tape, a, b, { scale: 1, ...options });
    tape.backward(found.loss, one);
    return await results(plan, { ...found, dza: tape.gradient(a) as Tensor, dzb: tape.gradient(b) as Tensor });
  } finally {
    plan.dispose();
    for (const each of [a, b, one]) device.free(each);
  }
}

const parts = ['on', 'off', 'mean', 'loss'] as const;

/** The loss and its parts, in units of the largest: a part may be zero but for rounding. */
function closeParts(found: Record<string, Float32Array>, expected: Record<(typeof parts)[number], number>): void {
  close(
    parts.map((name) => found[name][0]),
    parts.map((name) => expected[name]),
    parts.join(', '),
    1e-5,
  );
}

for (const [N, D, lambda] of [
  [4, 3, 0.1],
  [7, 1, 0.3],
  [16, 128, 0.0051],
  [128, 48, 0.0051],
  [33, 197, 0.0051],
  [65, 70, 0.02],
])
  for (const options of [{ form: 'gram' }, { form: 'direct' }, { form: 'direct', panelRows: 64 }, {}] as const)
    test(`loss and gradients, N ${N}, D ${D}, ${JSON.stringify(options)}`, async () => {
      const [za, zb] = batches(N, D);
      const found = await lossOf(za, zb, N, D, { lambda, ...options });
      const expected = reference(za, zb, N, D, lambda);
      closeParts(found, expected);
      close(found.dza, expected.dza, 'dza', 1e-4);
      close(found.dzb, expected.dzb, 'dzb', 1e-4);
    });

test('wide workgroups do the same', async () => {
  for (const [N, D] of [
    [5, 3],
    [40, 70],
    [33, 20],
  ]) {
    const [za, zb] = batches(N, D);
    for (const form of ['gram', 'direct'] as const) {
      const found = await lossOf(za, zb, N, D, { form }, 1, 'wide');
      const expected = reference(za, zb, N, D, 0.0051);
      closeParts(found, expected);
      close(found.dza, expected.dza, 'dza', 1e-4);
      close(found.dzb, expected.dzb, 'dzb', 1e-4);
    }
  }
});

test('scale and the gradient of the loss multiply through', async () => {
  const [N, D, lambda, scale] = [24, 40, 0.02, 0.37];
  const [za, zb] = batches(N, D);
  const found = await lossOf(za, zb, N, D, { lambda, scale }, -2.5);
  const expected = reference(za, zb, N, D, lambda, scale);
  close(found.loss.subarray(0, 1), [expected.loss], 'loss', 2e-5);
  close(
    found.dza,
    expected.dza.map((v) => -2.5 * v),
    'dza',
    1e-4,
  );
  close(
    found.dzb,
    expected.dzb.map((v) => -2.5 * v),
    'dzb',
    1e-4,
  );
});

test('two losses add up, and their gradients', async () => {
  const [N, D, scale] = [12, 20, 196 / 20];
  const [za, zb] = batches(N, D);
  using plan = new Plan(device);
  const tape = new Tape(plan);
  const [a, b] = [za, zb].map((z, i) => tape.requireGrad(upload(device, `z${i}`, [N, D], z)));
  const one = upload(device, 'dloss', [1], Float32Array.of(1));
  const loss = add(tape, crossCorrelation(tape, a, b).loss, crossCorrelation(tape, b, b, { lambda: 0.3 }).loss);
  tape.backward(loss, one);
  const found = await results(plan, { loss, dza: tape.gradient(a) as Tensor, dzb: tape.gradient(b) as Tensor });
  const [first, second] = [reference(za, zb, N, D, 0.0051, scale), reference(zb, zb, N, D, 0.3, scale)];
  close(found.loss.subarray(0, 1), [first.loss + second.loss], 'loss', 2e-5);
  close(found.dza, first.dza, 'dza', 1e-4);
  const dzb = first.dzb.map((v, i) => v + second.dza[i] + second.dzb[i]);
  close(found.dzb, dzb, 'dzb', 1e-4);
  for (const each of [a, b, one]) device.free(each);
});

test('a mean of 100 times the deviation cancels', async () => {
  const [N, D] = [64, 96];
  const [za, zb] = batches(N, D, 200);
  const found = await lossOf(za, zb, N, D, {});
  const expected = reference(za, zb, N, D, 0.0051);
  close(found.loss.subarray(0, 1), [expected.loss], 'loss', 1e-4);
  close(found.dza, expected.dza, 'dza', 2e-4);
});

test('equal and decorrelated batches: the off-diagonal sum near zero is exact in the direct form', async () => {
  // orthogonal columns of a Hadamard matrix, the constant one left out
  const [N, D] = [64, 48];
  const z = Float32Array.from({ length: N * D }, (_, k) => {
    let bits = Math.floor(k / D) & ((k % D) + 1);
    let sign = 1;
    for (; bits; bits &= bits - 1) sign = -sign;
    return sign;
  });
  const { on, off, mean } = await lossOf(z, z.slice(), N, D, { form: 'direct' });
  assert.ok(
    on[0] < 1e-7 && off[0] < 1e-10 && Math.abs(mean[0] - 1) < 2e-5,
    `on ${on[0]}, off ${off[0]}, mean ${mean[0]}`,
  );
});

test('an affine map of a column leaves the loss unchanged', async () => {
  const [N, D] = [48, 32];
  const [za, zb] = batches(N, D);
  const moved = za.map((v, k) => v * (1 + (k % D) / 8) - 3 * (k % D));
  const [before, after] = [await lossOf(za, zb, N, D, {}), await lossOf(moved, zb, N, D, {})];
  close(after.loss.subarray(0, 1), before.loss.subarray(0, 1), 'loss', 1e-4);
  close(after.dzb, before.dzb, 'dzb', 2e-4);
});

test('a constant column gets no gradient and spoils no other', async () => {
  const [N, D] = [32, 20];
  const [za, zb] = batches(N, D);
  for (let n = 0; n < N; n++) za[n * D + 3] = 7.25;
  for (const form of ['gram', 'direct'] as const) {
    const found = await lossOf(za, zb, N, D, { form });
    const expected = reference(za, zb, N, D, 0.0051);
    for (let n = 0; n < N; n++) {
      assert.is(found.dza[n * D + 3], 0);
      expected.dza[n * D + 3] = 0;
    }
    close(found.dza, expected.dza, 'dza', 1e-4);
    close(found.loss.subarray(0, 1), [expected.loss], 'loss', 2e-5);
  }
});

test('z may be columns of wider rows, leading or kept by a list; C is rectangular between batches of two widths', async () => {
  const [N, D, E] = [20, 24, 33];
  const [wide, full] = batches(N, E);
  const [host, other] = [wide, full].map((z) => upload(device, 'z', [N, E], z));
  const list = chosen(generator(), E, D);
  const columns = uploadList(device, list);
  const expected = reference(wide, full, N, E, 0).c;
  for (const [slim, rows] of [
    [sliceView(host, [N, D]), [...list.keys()]],
    [selectView(host, [N, D], { columns }), list],
  ] as const) {
    const plan = new Plan(device);
    const c = correlation(plan, standardize(plan, slim), standardize(plan, other));
    const found = await results(plan, { c });
    close(
      found.c,
      rows.flatMap((row) => [...expected[row]]),
      'C',
      2e-5,
    );
    plan.dispose();
  }
  for (const each of [host, other, columns]) device.free(each);
});

interface Weighted {
  pair: readonly [number, number];
  weight: number;
}

/** The weighted sum of losses between batches, as a function of one batch; others, and this one where frozen, stay. */
function weightedSum(
  zs: readonly Values[],
  N: number,
  D: number,
  terms: readonly Weighted[],
  lambda: number,
  scale: number,
) {
  return (live: number, z: Values) =>
    terms.reduce((sum, { pair: [i, j], weight }) => {
      const first = i === live ? z : zs[i];
      const second = j === live && i !== j ? z : zs[j];
      return sum + weight * lossByDefinition(first, second, N, D, lambda, scale).loss;
    }, 0);
}

const alpha = 0.9;
const half = (1 - alpha) / 2;
const sums: Record<string, Weighted[]> = {
  // za, zb, [za], [zb]
  'SACL + XD': [
    { pair: [0, 1], weight: alpha },
    { pair: [0, 2], weight: half },
    { pair: [1, 3], weight: half },
  ],
  'XD alone, each batch against itself as a constant': [
    { pair: [0, 1], weight: alpha },
    { pair: [0, 0], weight: half },
    { pair: [1, 1], weight: half },
  ],
};
for (const [name, weighted] of Object.entries(sums))
  for (const form of ['gram', 'direct'] as const)
    for (const [N, D] of [
      [12, 20],
      [24, 10],
    ])
      test(`${name}, ${form}, N ${N}, D ${D}: fused gradients are finite differences of the f64 sum`, async () => {
        const [lambda, scale] = [0.02, 0.3];
        const zs = [...batches(N, D), ...batches(N, D)];
        zs[2] = zs[2].map((v, k) => v + Math.sin(k));
        zs[3] = zs[3].map((v, k) => v + Math.cos(k));
        const plan = new Plan(device);
        const inputs = zs.map((z, i) => upload(device, `z${i}`, [N, D], z));
        const standard: Standardized[] = inputs.map((z) => standardize(plan, z));
        const outputs = [0, 1].map((i) => upload(device, `dz${i}`, [N, D], new Float32Array(N * D).fill(Number.NaN)));
        const metrics = upload(device, 'metrics', [3, 4], new Float32Array(12).fill(Number.NaN));
        crossCorrelationLoss(
          plan,
          weighted.map(({ pair: [i, j], weight }) => ({ u: standard[i], v: standard[j], weight })),
          outputs.map((dz, i) => ({ of: standard[i], dz })),
          metrics,
          { lambda, scale, form },
        );
        const found = await results(plan, { dz0: outputs[0], dz1: outputs[1], metrics });
        weighted.forEach(({ pair: [i, j] }, row) => {
          const { on, off, mean, loss } = reference(zs[i], zs[j], N, D, lambda, scale);
          close(found.metrics.subarray(4 * row, 4 * row + 4), [loss, on, off, mean], `metrics ${row}`, 2e-5);
        });
        const total = weightedSum(zs, N, D, weighted, lambda, scale);
        for (const live of [0, 1]) {
          const step = 1e-4;
          const differences = Float64Array.from({ length: N * D }, (_, k) => {
            const moved = (by: number) => Float64Array.from(zs[live], (v, at) => (at === k ? v + by : v));
            return (total(live, moved(step)) - total(live, moved(-step))) / (2 * step);
          });
          close(found[`dz${live}`], differences, `dz${live}`, 1e-4);
        }
        plan.dispose();
        for (const each of [...inputs, ...outputs, metrics]) device.free(each);
      });

test('what does not fit is refused by name', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const make = (...shape: number[]) => tape.empty('t', shape);
  assert.throws(
    () => standardize(plan, make(1, 3)),
    /standardize: expected z \(N, D\) with N > 1, got \(1, 3\); use a larger batch/,
  );
  const [u, v, w] = [standardize(plan, make(4, 3)), standardize(plan, make(4, 3)), standardize(plan, make(4, 5))];
  const metrics = make(1, 4);
  assert.throws(
    () => crossCorrelationLoss(plan, [{ u, v: w }], [], metrics),
    /expected \(4, 3\) in term 0, got \(4, 5\)/,
  );
  assert.throws(() => crossCorrelationLoss(plan, [], [], metrics), /expected at least one term/);
  assert.throws(() => crossCorrelationLoss(plan, [{ u, v }], [], make(4)), /expected metrics \(1, 4\), got \(4\)/);
  assert.throws(
    () => crossCorrelationLoss(plan, [{ u, v }], [{ of: u, dz: make(4, 5) }], metrics),
    /expected dz \(4, 3\), got \(4, 5\)/,
  );
  assert.throws(
    () => crossCorrelationLoss(plan, [{ u, v }], [{ of: w, dz: make(4, 5) }], metrics),
    /got one that is in none/,
  );
  assert.throws(
    () => crossCorrelationLoss(plan, [{ u, v }], [], metrics, { lambda: -1, scale: 1 }),
    /lambda: expected a finite number of at least 0, got -1/,
  );
});

test.run();
