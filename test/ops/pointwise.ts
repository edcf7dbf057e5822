import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ShapeError } from '../../src/errors.js';
import { pointwise } from '../../src/ops/pointwise.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { tensor } from '../../src/tensor/tensor.js';
import { checkOp, chosen, close, type Kept, upload } from '../check.js';
import { openTestDevice, pretend } from '../device.js';
import { generator, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();
type Values = Record<string, Float64Array>;

/** The definition, in f64. */
function reference([N, I, O, P]: readonly number[], { x, weight, dy }: Values): Values {
  const y = new Float64Array(N * O * P);
  const dx = new Float64Array(x.length);
  const dweight = new Float64Array(weight.length);
  for (let n = 0; n < N; n++)
    for (let o = 0; o < O; o++)
      for (let i = 0; i < I; i++)
        for (let p = 0; p < P; p++) {
          const [at, to, w] = [(n * I + i) * P + p, (n * O + o) * P + p, o * I + i];
          y[to] += weight[w] * x[at];
          dx[at] += weight[w] * dy[to];
          dweight[w] += dy[to] * x[at];
        }
  return { y, dx, dweight };
}

interface Case {
  N: number;
  I: number;
  O: number;
  H: number;
  W: number;
  /** The host's channels, where the weight is a slice. */
  host?: [number, number];
}

const cases: Case[] = [
  { N: 1, I: 1, O: 1, H: 1, W: 1 },
  { N: 2, I: 3, O: 5, H: 7, W: 7 },
  { N: 3, I: 16, O: 24, H: 4, W: 4, host: [40, 16] },
  { N: 2, I: 43, O: 85, H: 8, W: 8, host: [128, 64] },
  { N: 3, I: 13, O: 9, H: 33, W: 31, host: [12, 20] },
  { N: 67, I: 5, O: 17, H: 1, W: 1 },
  { N: 9, I: 70, O: 66, H: 2, W: 2 },
  { N: 5, I: 33, O: 8, H: 1, W: 3 },
  { N: 17, I: 64, O: 31, H: 16, W: 16 },
  { N: 4, I: 24, O: 40, H: 7, W: 7, host: [60, 36] },
  { N: 3, I: 17, O: 33, H: 14, W: 14, host: [40, 24] },
  { N: 1, I: 6, O: 9, H: 112, W: 112, host: [16, 8] },
];
const forms = ['plain', 'register', 'shared64', 'shared32', 'subgroup4', 'subgroup8'];
const runs = (form: string) => !form.startsWith('subgroup') || Number(form.slice(8)) <= device.subgroupSize;

const check = (c: Case, form: string | undefined, seed?: number, on = device, kept?: Kept) => {
  const { N, I, O, H, W, host = [O, I] } = c;
  const key = (name: string) => [`pointwise.${name}`, form];
  // of single pixels there are only products of matrices to choose
  const variants = form && H * W > 1 && Object.fromEntries(['forward', 'backward_input', 'backward_weight'].map(key));
  return checkOp(on, `pointwise ${form ?? 'default'}`, {
    inputs: { x: [N, I, H, W] },
    weights: { weight: { host: [...host, 1, 1], slim: [O, I, 1, 1], ...(kept && { kept }) } },
    run: (tape, { x, weight }) => pointwise(tape, x, weight),
    reference: (values) => reference([N, I, O, H * W], values),
    ...(variants && { variants }),
    seed,
  });
};

for (const c of cases) {
  const { N, I, O, H, W, host } = c;
  test(`N${N} ${I} -> ${O} ${H}x${W}${host ? ` in a host of ${host}` : ''}: every form agrees`, async () => {
    const plain = await check(c, 'plain', seed);
    for (const form of forms.filter(runs)) {
      const results = await check(c, form, seed);
      for (const [name, values] of Object.entries(results))
        close(values, plain[name], `${form} ${name} against plain, seed ${seed}`);
    }
    await check(c, undefined);
  });
}

for (const c of cases.filter(({ host }) => host)) {
  const { N, I, O, H, W, host: [hostO, hostI] = [O, I] } = c;
  test(`N${N} ${I} -> ${O} ${H}x${W} kept in a host of ${hostO},${hostI}: every form agrees, on hardware too`, async () => {
    const [rows, columns] = [chosen(random, hostO, O), chosen(random, hostI, I)];
    const hardware = pretend(device, { software: false });
    for (const form of [...forms.filter(runs), undefined]) {
      await check(c, form, undefined, device, [rows, columns]);
      await check(c, form, undefined, hardware, [rows]);
      await check(c, form, undefined, hardware, [undefined, columns]);
    }
  });
}

test('on hardware, whose sums fall into more parts, and with workgroups folded over two dimensions', async () => {
  const hardware = pretend(device, { software: false, limits: { maxComputeWorkgroupsPerDimension: 19 } });
  for (const [H, W] of [
    [9, 7],
    [8, 8],
  ])
    for (const form of [...forms.filter(runs), undefined])
      await check({ N: 5, I: 40, O: 70, H, W, host: [71, 43] }, form, undefined, hardware);
});

test('an input that needs no gradient gets none', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = upload(device, 'x', [1, 2, 2, 2], new Float32Array(8));
  const weight = upload(device, 'weight', [3, 2], new Float32Array(6), new Float32Array(6));
  const y = pointwise(tape, x, weight);
  const recorded = plan.dispatches.length;
  tape.backward(y, y);
  assert.is(tape.gradient(x), undefined);
  assert.is(plan.dispatches.length, recorded + 1);
  assert.is(plan.dispatches[0].macs, 1 * 2 * 3 * 4);
});

test('shapes that do not fit are refused by name', () => {
  const tape = new Tape(new Plan(device));
  const make = (shape: number[]) => tensor(device.buffer('x', 512), 'x', shape);
  const refuse = (x: number[], weight: number[], pattern: RegExp) =>
    assert.throws(
      () => pointwise(tape, make(x), make(weight)),
      (error: Error) => error instanceof ShapeError && pattern.test(error.message),
    );
  refuse([2, 3, 4, 4], [8, 4], /pointwise: expected weight \(O, 3\) .* got \(8, 4\)/);
  refuse([2, 3, 4, 4], [8, 3, 3, 3], /pointwise: expected weight .* got \(8, 3, 3, 3\)/);
  refuse([2, 3, 4, 4], [8, 3, 1], /pointwise: expected weight/);
  refuse([2, 3, 16], [8, 3], /pointwise: expected x \(N, I, H, W\)/);
  refuse([0, 3, 4, 4], [8, 3], /pointwise: expected x/);
});

test.run();
