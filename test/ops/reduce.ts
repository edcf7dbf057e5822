import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ShapeError } from '../../src/errors.js';
import { mean, type ReduceOptions, sum } from '../../src/ops/reduce.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel } from '../../src/tensor/tensor.js';
import { checkOp } from '../check.js';
import { openTestDevice } from '../device.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const shapes = [[1], [7], [3, 5], [1, 70], [70, 1], [65, 129], [700, 3], [2, 3, 7, 5], [3, 300, 2]];
for (const [name, op] of Object.entries({ sum, mean }))
  for (const shape of shapes)
    for (const dim of [undefined, ...shape.keys(), -1])
      test(`${name} of ${shape} over ${dim ?? 'all'}`, async () => {
        const d = dim !== undefined && dim < 0 ? dim + shape.length : dim;
        const keepdim = numel(shape) % 2 === 0; // either, by chance
        const rest = d === undefined ? [] : shape.flatMap((side, i) => (i !== d ? [side] : keepdim ? [1] : []));
        const expected = d === undefined && keepdim ? shape.map(() => 1) : rest.length > 0 ? rest : [1];
        // what element i goes into: its indices without that along d
        const [inner, length] = d === undefined ? [1, numel(shape)] : [numel(shape.slice(d + 1)), shape[d]];
        const into = (i: number) => Math.floor(i / inner / length) * inner + (i % inner);
        const factor = name === 'mean' ? 1 / length : 1;
        await checkOp(device, name, {
          inputs: { x: shape },
          mean: 1.5,
          tolerance: 2e-6,
          run: (tape, { x }) => {
            const y = op(tape, x, { ...(dim !== undefined && { dim }), keepdim });
            assert.equal(y.shape, expected);
            return y;
          },
          reference: ({ x, dy }) => {
            const y = new Float64Array(numel(expected));
            for (let i = 0; i < x.length; i++) y[into(i)] += factor * x[i];
            return { y, dx: x.map((_, i) => factor * dy[into(i)]) };
          },
        });
      });

const million = 1_000_003;
for (const [shape, dim] of [
  [[million], undefined],
  [[million, 1], 0],
  [[50_001, 20], 0],
  [[20, 50_001], 1],
] as const)
  test(`a million elements as exact as a few: ${shape}, over ${dim ?? 'all'}`, async () => {
    const options: ReduceOptions = dim === undefined ? {} : { dim };
    const [, columns = 1] = shape;
    const into = dim === undefined ? () => 0 : (i: number) => (dim === 0 ? i % columns : Math.floor(i / columns));
    await checkOp(device, 'mean', {
      inputs: { x: shape },
      mean: 3,
      tolerance: 5e-7,
      run: (tape, { x }) => mean(tape, x, options),
      reference: ({ x, dy }) => {
        const y = new Float64Array(dy.length);
        const length = x.length / y.length;
        for (let i = 0; i < x.length; i++) y[into(i)] += x[i] / length;
        return { y, dx: x.map((_, i) => dy[into(i)] / length) };
      },
    });
  });

test('a weight is summed as it lies, and its gradient added in place', async () => {
  for (const slice of [{ slim: [5, 7] }, { slim: [5, 7], kept: [[0, 2, 3, 6, 8]] as const }])
    await checkOp(device, 'sum', {
      inputs: {},
      weights: { weight: { host: [9, 10], ...slice } },
      run: (tape, { weight }) => sum(tape, weight, { dim: 1 }),
      reference: ({ weight, dy }) => ({
        y: Float64Array.from({ length: 5 }, (_, n) => weight.subarray(7 * n, 7 * n + 7).reduce((a, b) => a + b)),
        dweight: weight.map((_, i) => dy[Math.floor(i / 7)]),
      }),
    });
});

test('a side that is not there is refused by name', async () => {
  const tape = new Tape(new Plan(device));
  const x = tape.empty('x', [4, 6]);
  await rejects(() => sum(tape, x, { dim: 2 }), ShapeError, /sum: expected a dim from -2 to 1 of \(4, 6\), got 2/);
  await rejects(() => mean(tape, x, { dim: -3 }), ShapeError, /mean: expected a dim from -2 to 1 of \(4, 6\), got -3/);
  await rejects(() => mean(tape, x, { dim: 0.5 }), ShapeError, /mean: expected a dim .*, got 0.5/);
});

test.run();
