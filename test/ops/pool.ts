import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { averagePool, globalAveragePool, maxPool } from '../../src/ops/pool.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { checkOp, largest, upload } from '../check.js';
import { openTestDevice } from '../device.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

type Shape = readonly number[];
interface Window {
  kernelSize: number;
  stride: number;
  padding?: number;
}

/** Calls `visit(output, inputs of its window)` in reading order. */
function eachWindow(
  [N, C, H, W]: Shape,
  { kernelSize: K, stride, padding = 0 }: Window,
  visit: (o: number, inputs: number[]) => void,
) {
  const [OH, OW] = [H, W].map((side) => Math.floor((side + 2 * padding - K) / stride) + 1);
  for (let o = 0; o < N * C * OH * OW; o++) {
    const [plane, top, left] = [Math.floor(o / (OH * OW)), Math.floor(o / OW) % OH, o % OW].map((v, i) =>
      i ? v * stride - padding : v,
    );
    const inputs: number[] = [];
    for (let h = top; h < top + K; h++)
      for (let w = left; w < left + K; w++)
        if (h >= 0 && w >= 0 && h < H && w < W) inputs.push((plane * H + h) * W + w);
    visit(o, inputs);
  }
  return N * C * OH * OW;
}

function averages(shape: Shape, window: Window, x: Float64Array, dy: Float64Array) {
  const y: number[] = [];
  const dx = new Float64Array(x.length);
  const area = window.kernelSize ** 2;
  eachWindow(shape, window, (o, inputs) => {
    y[o] = inputs.reduce((sum, i) => sum + x[i], 0) / area;
    for (const i of inputs) dx[i] += dy[o] / area;
  });
  return { y: Float64Array.from(y), dx };
}

function maxima(shape: Shape, window: Window, x: Float64Array, dy: Float64Array) {
  const y: number[] = [];
  const dx = new Float64Array(x.length);
  eachWindow(shape, window, (o, inputs) => {
    const best = inputs.reduce((at, i) => (x[i] > x[at] ? i : at));
    y[o] = x[best];
    dx[best] += dy[o];
  });
  return { y: Float64Array.from(y), dx };
}

for (const form of ['alone', 'together'])
  for (const shape of [
    [1, 1, 1, 1],
    [3, 5, 7, 7],
    [2, 9, 4, 4],
    [1, 70, 33, 2],
    [4, 3, 32, 32],
  ])
    test(`global average and its gradient, ${form}, ${shape}`, async () => {
      await checkOp(device, 'globalAveragePool', {
        variants: { globalAveragePool: form },
        inputs: { x: shape },
        run: (tape, { x }) => globalAveragePool(tape, x),
        reference: ({ x, dy }) => {
          const P = shape[2] * shape[3];
          const y = dy.map((_, plane) => x.subarray(plane * P, plane * P + P).reduce((sum, v) => sum + v, 0) / P);
          return { y, dx: x.map((_, i) => dy[Math.floor(i / P)] / P) };
        },
      });
    });

for (const [shape, window] of [
  [[2, 3, 8, 8], { kernelSize: 2, stride: 2 }],
  [[1, 2, 7, 9], { kernelSize: 2, stride: 2 }],
  [[2, 2, 7, 5], { kernelSize: 3, stride: 1 }],
  [[2, 2, 11, 10], { kernelSize: 2, stride: 3 }],
  [[1, 1, 5, 5], { kernelSize: 5, stride: 1 }],
] as const)
  test(`average ${window.kernelSize}/${window.stride} and its gradient, ${shape}`, async () => {
    await checkOp(device, 'averagePool', {
      inputs: { x: shape },
      run: (tape, { x }) => averagePool(tape, x, window),
      reference: ({ x, dy }) => averages(shape, window, x, dy),
      terms: ({ x }) => ({ y: largest(x) / window.kernelSize ** 2 }),
    });
  });

for (const [shape, window] of [
  [[2, 3, 8, 8], { kernelSize: 2, stride: 2, padding: 0 }],
  [[2, 3, 16, 16], { kernelSize: 3, stride: 2, padding: 1 }],
  [[1, 2, 7, 9], { kernelSize: 3, stride: 2, padding: 1 }],
  [[2, 2, 7, 5], { kernelSize: 3, stride: 1, padding: 1 }],
  [[2, 2, 10, 11], { kernelSize: 2, stride: 3, padding: 1 }],
  [[1, 3, 6, 6], { kernelSize: 5, stride: 2, padding: 2 }],
] as const) {
  const { kernelSize, stride, padding } = window;
  for (const mean of [0.3, -40])
    test(`maximum ${kernelSize}/${stride}/${padding} and its gradient, ${shape}, mean ${mean}`, async () => {
      await checkOp(device, 'maxPool', {
        inputs: { x: shape },
        mean,
        run: (tape, { x }) => maxPool(tape, x, window),
        reference: ({ x, dy }) => maxima(shape, window, x, dy),
      });
    });
}

/** y and dx of a 3/1/1 maximum over one 4x4 plane, with dy = 1. */
async function maximumOf(values: number[]) {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = tape.requireGrad(upload(device, 'x', [1, 1, 4, 4], Float32Array.from(values)));
  const dy = upload(device, 'dy', [1, 1, 4, 4], new Float32Array(16).fill(1));
  const y = maxPool(tape, x, { kernelSize: 3, stride: 1, padding: 1 });
  tape.backward(y, dy);
  const dx = tape.gradient(x);
  assert.ok(dx);
  plan.retain(y);
  plan.retain(dx);
  await plan.compile();
  plan.run();
  const results = { y: await plan.read(y), dx: await plan.read(dx) };
  plan.dispose();
  for (const each of [x, dy]) device.free(each);
  return results;
}

test('of equal maxima the first in reading order gets the gradient', async () => {
  const { dx } = await maximumOf(new Array(16).fill(-7));
  assert.equal([...dx], [4, 2, 2, 0, 2, 1, 1, 0, 2, 1, 1, 0, 0, 0, 0, 0]);
});

test('a maximum over NaN is NaN', async () => {
  const { y } = await maximumOf([1, 2, 3, 4, 5, Number.NaN, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
  assert.equal([...y].map(Number.isNaN), [1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0].map(Boolean));
});

test('windows that do not fit are refused by name', () => {
  const tape = new Tape(new Plan(device));
  const x = tape.empty('x', [1, 2, 4, 4]);
  assert.throws(
    () => globalAveragePool(tape, tape.empty('x', [2, 3])),
    /globalAveragePool: expected x \(N, C, H, W\), got \(2, 3\)/,
  );
  assert.throws(
    () => averagePool(tape, x, { kernelSize: 5 }),
    /averagePool: expected x of at least 5 pixels a side, got \(1, 2, 4, 4\)/,
  );
  assert.throws(() => averagePool(tape, x, { kernelSize: 0 }), /averagePool: expected a whole kernelSize/);
  assert.throws(() => maxPool(tape, x, { kernelSize: 2, stride: 1.5 }), /maxPool: expected a whole kernelSize/);
  assert.throws(
    () => maxPool(tape, x, { kernelSize: 3, padding: 2 }),
    /padding from 0 to kernelSize \/ 2, got 3, 3 and 2/,
  );
});

test.run();
