import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { l2Normalize, l2NormalizeInPlace } from '../../src/ops/l2_normalize.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { sliceView } from '../../src/tensor/tensor.js';
import { checkOp, close, largest, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, v, i) => sum + v * b[i], 0);

/** The definition and its derivative, in f64, row by row. */
function reference(x: Float64Array, dy: Float64Array, D: number) {
  const y = new Float64Array(x.length);
  const dx = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += D) {
    const [row, g] = [x.subarray(at, at + D), dy.subarray(at, at + D)];
    const length = Math.sqrt(dot(row, row));
    y.set(
      row.map((v) => v / Math.max(length, 1e-12)),
      at,
    );
    if (length > 1e-12)
      dx.set(
        g.map((v, i) => v / length - (row[i] * dot(row, g)) / length ** 3),
        at,
      );
  }
  return { y, dx };
}

for (const form of ['alone', 'few', 'many', 'workgroup'])
  for (const shape of [
    [1, 3],
    [3, 7],
    [17, 130],
    [70, 5],
    [5, 513],
  ])
    test(`rows of length one and their gradient, ${form}, ${shape}`, async () => {
      await checkOp(device, 'l2Normalize', {
        variants: { l2Normalize: form },
        inputs: { x: shape },
        run: (tape, { x }) => l2Normalize(tape, x),
        reference: ({ x, dy }) => reference(x, dy, shape[1]),
        // where dy is nearly along x
        terms: ({ x, dy }) => ({ dx: largest(dy) / (largest(x) * Math.sqrt(shape[1])) }),
      });
    });

/** Forward and backward by the default form. */
async function normalized(data: Float32Array<ArrayBuffer>, dyData: Float32Array<ArrayBuffer>, shape: number[]) {
  using plan = new Plan(device);
  const tape = new Tape(plan);
  const x = tape.requireGrad(upload(device, 'x', shape, data));
  const dy = upload(device, 'dy', shape, dyData);
  const y = l2Normalize(tape, x);
  tape.backward(y, dy);
  const dx = tape.gradient(x);
  assert.ok(dx);
  plan.retain(y);
  plan.retain(dx);
  await plan.compile();
  plan.poison();
  plan.run();
  const found = { y: await plan.read(y), dx: await plan.read(dx) };
  for (const each of [x, dy]) device.free(each);
  return found;
}

test('rows of any length: tiny, huge, and none at all', async () => {
  const [N, D] = [4, 9];
  const random = generator();
  const data = randoms(random, N * D).map((v, i) => v * [1e-10, 1e10, 0, 1][Math.floor(i / D)]);
  const dy = randoms(random, N * D);
  const found = await normalized(data, dy, [N, D]);
  const expected = reference(Float64Array.from(data), Float64Array.from(dy), D);
  for (let at = 0; at < N * D; at += D) {
    close(found.y.subarray(at, at + D), expected.y.subarray(at, at + D), `y from ${at}`);
    close(found.dx.subarray(at, at + D), expected.dx.subarray(at, at + D), `dx from ${at}`);
  }
});

test('a row of one element is its sign, and has no gradient but rounding', async () => {
  const { y, dx } = await normalized(Float32Array.of(3, -0.25, 7e5), Float32Array.of(1, -2, 0.5), [3, 1]);
  close(y, [1, -1, 1], 'y');
  assert.ok(
    dx.every((v) => Math.abs(v) < 1e-5),
    `dx ${dx}`,
  );
});

for (const form of ['alone', 'few', 'many', 'workgroup'])
  test(`rows of a parameter are normalized where they lie, and nothing beside them, ${form}`, async () => {
    const [N, D, wide] = [21, 70, 75];
    const data = randoms(generator(), N * wide);
    using plan = new Plan(device, { variants: { l2NormalizeInPlace: form } });
    const whole = upload(device, 'weight', [N, wide], data);
    l2NormalizeInPlace(plan, sliceView(whole, [N, D]));
    await plan.compile();
    plan.run();
    const once = await plan.read(whole);
    const expected = Float64Array.from(data);
    for (let at = 0; at < N * wide; at += wide)
      expected.set(reference(expected.slice(at, at + D), new Float64Array(D), D).y, at);
    close(once, expected, 'rows');
    for (let i = 0; i < once.length; i++) if (i % wide >= D) assert.is(once[i], data[i], `beside (seed ${seed})`);
    device.free(whole);
  });

test('shapes that do not fit are refused by name', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = tape.empty('x', [2, 3, 4]);
  assert.throws(() => l2Normalize(tape, x), /l2Normalize: expected a nonempty matrix \(N, D\), got \(2, 3, 4\)/);
  assert.throws(() => l2NormalizeInPlace(plan, x), /l2NormalizeInPlace: expected a matrix/);
});

test.run();
