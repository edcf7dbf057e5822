import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ShapeError } from '../../src/errors.js';
import { linear } from '../../src/ops/linear.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { tensor } from '../../src/tensor/tensor.js';
import { checkOp, chosen, largest, upload } from '../check.js';
import { openTestDevice, pretend } from '../device.js';
import { generator } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

type Values = Record<string, Float64Array>;

/** The definition, in f64. */
function reference([N, I, O]: readonly number[], { x, weight, bias, dy }: Values): Values {
  const y = new Float64Array(N * O);
  const dx = new Float64Array(N * I);
  const dweight = new Float64Array(O * I);
  const dbias = new Float64Array(O);
  for (let n = 0; n < N; n++)
    for (let o = 0; o < O; o++) {
      const to = n * O + o;
      y[to] = bias?.[o] ?? 0;
      dbias[o] += dy[to];
      for (let i = 0; i < I; i++) {
        y[to] += x[n * I + i] * weight[o * I + i];
        dx[n * I + i] += dy[to] * weight[o * I + i];
        dweight[o * I + i] += dy[to] * x[n * I + i];
      }
    }
  return { y, dx, dweight, ...(bias && { dbias }) };
}

/** A bias may cancel a product. */
const terms = ({ bias }: Values) => ({ y: largest(bias) });

interface Case {
  N: number;
  I: number;
  O: number;
  /** Columns of the host's weight. */
  host?: number;
}

const cases: Case[] = [
  { N: 1, I: 1, O: 1 },
  { N: 3, I: 7, O: 5, host: 9 },
  { N: 16, I: 32, O: 40, host: 64 },
  { N: 33, I: 43, O: 21, host: 64 },
  { N: 130, I: 96, O: 67 },
  { N: 5, I: 300, O: 66, host: 301 },
  { N: 5, I: 66, O: 150, host: 72 },
];
for (const { N, I, O, host = I } of cases) {
  const weight = { host: [O, host], slim: [O, I] };
  test(`N${N} ${I} -> ${O}${host === I ? '' : ` in a host of ${host}`}: with and without bias`, async () => {
    await checkOp(device, 'linear with bias', {
      inputs: { x: [N, I] },
      weights: { weight, bias: { host: [O] } },
      run: (tape, tensors) => linear(tape, tensors.x, tensors.weight, tensors.bias),
      reference: (values) => reference([N, I, O], values),
      terms,
    });
    await checkOp(device, 'linear', {
      inputs: { x: [N, I] },
      weights: { weight },
      run: (tape, tensors) => linear(tape, tensors.x, tensors.weight),
      reference: (values) => reference([N, I, O], values),
    });
  });
}

const random = generator();
const forms = ['plain', 'register', 'shared64', 'shared32', 'subgroup4', 'subgroup8'];
for (const { N, I, O, host = I } of cases.filter(({ host }) => host))
  test(`N${N} ${I} -> ${O}, kept in a host of ${O + 7},${host}: every form of every product agrees`, async () => {
    const hardware = pretend(device, { software: false });
    const panels = pretend(device, { dispatchMacs: 64 * I * O }); // of 64 rows
    for (const form of forms.filter(
      (name) => !name.startsWith('subgroup') || Number(name.slice(8)) <= device.subgroupSize,
    ))
      for (const [on, keepsRows, keepsColumns] of [
        [device, true, true],
        [hardware, true, false],
        [panels, false, true],
      ] as const) {
        const rows = keepsRows ? chosen(random, O + 7, O) : undefined;
        const columns = keepsColumns ? chosen(random, host, I) : undefined;
        await checkOp(on, `linear ${form}`, {
          inputs: { x: [N, I] },
          weights: {
            weight: { host: [O + 7, host], slim: [O, I], kept: [rows, columns] },
            bias: { host: [O + 7], slim: [O], kept: [rows] },
          },
          run: (tape, tensors) => linear(tape, tensors.x, tensors.weight, tensors.bias),
          reference: (values) => reference([N, I, O], values),
          terms,
          variants: { 'matmul.nt': form, 'matmul.nn': form, 'matmul.tn': form },
        });
      }
  });

test('an input that needs no gradient gets none', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = upload(device, 'x', [4, 3], new Float32Array(12));
  const weight = upload(device, 'weight', [5, 3], new Float32Array(15), new Float32Array(15));
  const y = linear(tape, x, weight);
  const recorded = plan.dispatches.length;
  tape.backward(y, y);
  assert.is(tape.gradient(x), undefined);
  assert.is(plan.dispatches.length, recorded + 1);
});

test('shapes that do not fit are refused by name', () => {
  const tape = new Tape(new Plan(device));
  const make = (shape: number[]) => tensor(device.buffer('x', 256), 'x', shape);
  const refuse = (shapes: number[][], pattern: RegExp) => {
    const [x, weight, bias] = shapes.map(make);
    assert.throws(
      () => linear(tape, x, weight, bias),
      (error: Error) => error instanceof ShapeError && pattern.test(error.message),
    );
  };
  refuse(
    [
      [2, 3],
      [8, 4],
    ],
    /linear: expected weight \(O, 3\) for x \(2, 3\), got \(8, 4\)/,
  );
  refuse([[2, 3], [8, 3], [7]], /linear: expected bias \(8\) for weight \(8, 3\), got \(7\)/);
  refuse(
    [
      [2, 3, 1],
      [8, 3],
    ],
    /linear: expected x \(N, I\), all above 0, got \(2, 3, 1\)/,
  );
  refuse(
    [
      [0, 3],
      [8, 3],
    ],
    /linear: expected x/,
  );
  refuse(
    [
      [2, 3],
      [0, 3],
    ],
    /linear: expected weight/,
  );
});

test.run();
