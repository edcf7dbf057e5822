// What the small ops are for: losses that are no op of their own, written on the tape, equal their definitions in f64.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tape } from '../../src/core/tape.js';
import { activation } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { concat, detach } from '../../src/ops/copy.js';
import { div, exp, log, mul, scale, sqrt, square, sub } from '../../src/ops/elementwise.js';
import { l2Normalize } from '../../src/ops/l2_normalize.js';
import { matmul } from '../../src/ops/matmul.js';
import { mean, sum } from '../../src/ops/reduce.js';
import type { Device } from '../../src/runtime/device.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { checkOp } from '../check.js';
import { openTestDevice } from '../device.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** SimCLR's loss: of 2N embeddings, each tells its other view among the 2N − 1 others. */
function ntXent(tape: Tape, za: Tensor, zb: Tensor, others: Tensor, temperature: number): Tensor {
  const [u, v] = [l2Normalize(tape, za), l2Normalize(tape, zb)];
  const z = concat(tape, [u, v]);
  const similarities = scale(tape, matmul(tape, z, z, { transposeB: true }), 1 / temperature); // (2N, 2N)
  const exponentials = mul(tape, exp(tape, similarities), others); // `others` is 0 on the diagonal
  const pairs = scale(tape, sum(tape, mul(tape, u, v), { dim: 1 }), 1 / temperature); // (N), once for both views
  return sub(tape, mean(tape, log(tape, sum(tape, exponentials, { dim: 1 }))), mean(tape, pairs));
}

/** VICReg: invariance, a hinge on the deviation of each column, and the squares beside the covariances' diagonal. */
function vicReg(tape: Tape, za: Tensor, zb: Tensor, beside: Tensor, [lambda, mu, nu] = [25, 25, 1]): Tensor {
  const [N, D] = za.shape;
  const parts = [za, zb].map((z) => {
    const centered = sub(tape, z, mean(tape, z, { dim: 0 }));
    const variance = scale(tape, sum(tape, square(tape, centered), { dim: 0 }), 1 / (N - 1));
    const hinge = activation(tape, sub(tape, 1, sqrt(tape, add(tape, variance, 1e-4))), 'relu');
    const covariance = scale(tape, matmul(tape, centered, centered, { transposeA: true }), 1 / (N - 1));
    const spread = scale(tape, sum(tape, square(tape, mul(tape, covariance, beside))), nu / D);
    return add(tape, scale(tape, mean(tape, hinge), mu / 2), spread);
  });
  const invariance = scale(tape, mean(tape, square(tape, sub(tape, za, zb))), lambda);
  return add(tape, invariance, add(tape, parts[0], parts[1]));
}

/** SimSiam's loss of one view: −cos of a prediction and the other view's embedding, which is a constant. */
function negativeCosine(tape: Tape, p: Tensor, z: Tensor): Tensor {
  const cosines = sum(tape, mul(tape, l2Normalize(tape, p), l2Normalize(tape, detach(tape, z))), { dim: 1 });
  return scale(tape, mean(tape, cosines), -1);
}

/** DINO's loss of one pair of views: the student's cross-entropy against a sharpened, centered teacher. */
function dino(tape: Tape, student: Tensor, teacher: Tensor, center: Tensor): Tensor {
  const shares = (x: Tensor, temperature: number) => {
    const e = exp(tape, scale(tape, x, 1 / temperature));
    return div(tape, e, sum(tape, e, { dim: 1, keepdim: true }));
  };
  const told = detach(tape, shares(sub(tape, teacher, center), 0.4));
  return scale(tape, mean(tape, sum(tape, mul(tape, told, log(tape, shares(student, 1))), { dim: 1 })), -1);
}

type Values = Record<string, Float64Array>;

/** The gradients of a loss by central differences in f64, times dy. */
function differences(loss: (values: Values) => number, values: Values, names: readonly string[]): Values {
  const h = 1e-5;
  return Object.fromEntries(
    names.map((name) => [
      `d${name}`,
      values[name].map((_, i) => {
        const at = (by: number) => loss({ ...values, [name]: values[name].map((v, j) => (j === i ? v + by : v)) });
        return (values.dy[0] * (at(h) - at(-h))) / (2 * h);
      }),
    ]),
  );
}

const rowsOf = (x: Float64Array, D: number) =>
  Array.from({ length: x.length / D }, (_, n) => Array.from(x.subarray(n * D, n * D + D)));
const dot = (a: readonly number[], b: readonly number[]) => a.reduce((total, v, i) => total + v * b[i], 0);
const average = (values: readonly number[]) => values.reduce((total, v) => total + v, 0) / values.length;
const unit = (row: readonly number[]) => row.map((v) => v / Math.sqrt(dot(row, row)));

/** 1 − the identity matrix, made on the tape's own device. */
function besideDiagonal(n: number, made: GPUBuffer[]): Tensor {
  const values = Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 0 : 1));
  const buffer = device.buffer('beside', values.byteLength);
  device.write(buffer, values);
  made.push(buffer);
  return { storage: buffer, label: 'beside', shape: [n, n], strides: [n, 1], offset: 0, bytes: values.byteLength };
}

/** Checks a loss of inputs of one shape, whose gradients flow to `names`. */
async function check(
  name: string,
  inputs: Record<string, readonly number[]>,
  names: readonly string[],
  loss: (tape: Tape, tensors: Record<string, Tensor>, beside: (n: number) => Tensor) => Tensor,
  definition: (values: Values) => number,
): Promise<void> {
  const made: GPUBuffer[] = [];
  await checkOp(device, name, {
    inputs,
    tolerance: 2e-5,
    run: (tape, tensors) => {
      const y = loss(tape, tensors, (n) => besideDiagonal(n, made));
      assert.equal(y.shape, [1]);
      return y;
    },
    reference: (values) => ({
      y: Float64Array.of(definition(values)),
      ...differences(definition, values, names),
    }),
  });
  for (const buffer of made) device.free(buffer);
}

for (const [N, D] of [
  [3, 2],
  [9, 5],
  [17, 12],
]) {
  const both = { za: [N, D], zb: [N, D] };

  test(`NT-Xent of ${N} pairs of ${D}`, () =>
    check(
      'NT-Xent',
      both,
      ['za', 'zb'],
      (tape, { za, zb }, beside) => ntXent(tape, za, zb, beside(2 * N), 0.5),
      ({ za, zb }) => {
        const z = [...rowsOf(za, D), ...rowsOf(zb, D)].map(unit);
        return average(
          z.map((row, i) => {
            const others = z.filter((_, j) => j !== i).map((other) => Math.exp(dot(row, other) / 0.5));
            return Math.log(others.reduce((total, v) => total + v)) - dot(row, z[(i + N) % (2 * N)]) / 0.5;
          }),
        );
      },
    ));

  test(`VICReg of ${N} pairs of ${D}`, () =>
    check(
      'VICReg',
      both,
      ['za', 'zb'],
      (tape, { za, zb }, beside) => vicReg(tape, za, zb, beside(D)),
      ({ za, zb }) => {
        const [hinges, squares] = [za, zb].reduce(
          (so, z) => {
            const columns = Array.from({ length: D }, (_, d) => rowsOf(z, D).map((row) => row[d]));
            const centered = columns.map((column) => column.map((v) => v - average(column)));
            const covariance = centered.map((a) => centered.map((b) => dot(a, b) / (N - 1)));
            const hinge = average(covariance.map((row, d) => Math.max(0, 1 - Math.sqrt(row[d] + 1e-4))));
            const beside = covariance.flatMap((row, d) => row.filter((_, e) => e !== d));
            return [so[0] + hinge, so[1] + dot(beside, beside) / D];
          },
          [0, 0],
        );
        return 25 * average(Array.from(za, (v, i) => (v - zb[i]) ** 2)) + (25 / 2) * hinges + squares;
      },
    ));

  test(`SimSiam's negative cosine of ${N} pairs of ${D}: only the prediction learns`, () =>
    check(
      'SimSiam',
      { p: [N, D], z: [N, D] },
      ['p'],
      (tape, { p, z }) => negativeCosine(tape, p, z),
      ({ p, z }) => -average(rowsOf(p, D).map((row, n) => dot(unit(row), unit(rowsOf(z, D)[n])))),
    ));

  test(`DINO's cross-entropy of ${N} pairs of ${D}: only the student learns`, () =>
    check(
      'DINO',
      { student: [N, D], teacher: [N, D], center: [D] },
      ['student'],
      (tape, { student, teacher, center }) => dino(tape, student, teacher, center),
      ({ student, teacher, center }) => {
        const shares = (row: readonly number[], temperature: number) => {
          const e = row.map((v) => Math.exp(v / temperature));
          return e.map((v) => v / e.reduce((total, each) => total + each));
        };
        const told = rowsOf(teacher, D).map((row) =>
          shares(
            row.map((v, d) => v - center[d]),
            0.4,
          ),
        );
        return -average(rowsOf(student, D).map((row, n) => dot(told[n], shares(row, 1).map(Math.log))));
      },
    ));
}

test.run();
