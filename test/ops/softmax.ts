import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ConfigError, ShapeError } from '../../src/errors.js';
import { softmax, softmaxCrossEntropy } from '../../src/ops/softmax.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';
import { checkOp, close, largest, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

type Numbers = Float64Array | Float32Array;

/** log softmax of a row, in f64. */
function logSoftmax(row: Numbers, temperature: number): Float64Array {
  const v = Float64Array.from(row, (x) => x / temperature);
  const most = v.reduce((a, b) => Math.max(a, b));
  const log = Math.log(v.reduce((sum, x) => sum + Math.exp(x - most), 0));
  return v.map((x) => x - most - log);
}

/** Loss and gradient of targets (N, L), in f64. */
function reference(x: Numbers, t: Numbers, dloss: number, K: number, { temperature = 1, scale = 1 } = {}) {
  const N = x.length / K;
  let loss = 0;
  const dx = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += K) {
    const log = logSoftmax(x.subarray(at, at + K), temperature);
    let mass = 0;
    for (let k = 0; k < K; k++) mass += t[at + k];
    for (let k = 0; k < K; k++) {
      loss -= (scale / N) * t[at + k] * log[k];
      dx[at + k] = ((dloss * scale) / (N * temperature)) * (mass * Math.exp(log[k]) - t[at + k]);
    }
  }
  return { y: Float64Array.of(loss), dx };
}

/** A matrix with 1 at the class of each row; of classes that are none, a row of zeros. */
function oneHot(classes: ArrayLike<number>, K: number): Float64Array {
  const t = new Float64Array(classes.length * K);
  for (let n = 0; n < classes.length; n++) if (classes[n] < K) t[n * K + classes[n]] = 1;
  return t;
}

function uploadClasses(classes: readonly number[]): Tensor {
  const buffer = device.buffer('classes', classes.length * 4);
  device.write(buffer, Uint32Array.from(classes));
  return tensor(buffer, 'classes', [classes.length], 0, 'u32');
}

const forms = ['alone', 'few', 'many', 'workgroup'];
const shapes = [
  [1, 1],
  [1, 5],
  [3, 10],
  [17, 514],
  [70, 3],
  [2, 2050],
];
const options = { temperature: 0.2, scale: 0.7 };

for (const form of forms)
  for (const [N, K] of shapes) {
    const variants = { softmax: form };
    test(`cross-entropy with a distribution for each row, ${form}, ${N} x ${K}`, async () => {
      await checkOp(device, 'softmaxCrossEntropy', {
        variants,
        inputs: { x: [N, K], t: [N, K] },
        run: (tape, { x, t }) => softmaxCrossEntropy(tape, x, t, options),
        reference: ({ x, t, dy }) => reference(x, t, dy[0], K, options),
      });
    });
    test(`cross-entropy with a class for each row, ${form}, ${N} x ${K}`, async () => {
      const random = generator();
      const classes = Array.from({ length: N }, (_, n) => (n % 5 === 4 ? K + n : Math.floor(random() * K)));
      const uploaded = uploadClasses(classes);
      await checkOp(device, 'softmaxCrossEntropy', {
        variants,
        inputs: { x: [N, K] },
        run: (tape, { x }) => softmaxCrossEntropy(tape, x, uploaded, options),
        reference: ({ x, dy }) => reference(x, oneHot(classes, K), dy[0], K, options),
      });
      device.free(uploaded);
      await checkOp(device, 'softmaxCrossEntropy', {
        variants,
        inputs: { x: [N, K] },
        run: (tape, { x }) => softmaxCrossEntropy(tape, x),
        reference: ({ x, dy }) => reference(x, oneHot(new Uint32Array(N), K), dy[0], K),
      });
    });
    test(`softmax, ${form}, ${N} x ${K}`, async () => {
      for (const temperature of [1, 0.2])
        await checkOp(device, 'softmax', {
          variants,
          inputs: { x: [N, K] },
          run: (tape, { x }) => softmax(tape, x, { temperature }),
          reference: ({ x, dy }) => {
            const y = new Float64Array(N * K);
            for (let at = 0; at < N * K; at += K)
              y.set(logSoftmax(x.subarray(at, at + K), temperature).map(Math.exp), at);
            const dx = y.map((p, i) => {
              const row = i - (i % K);
              const mean = y.subarray(row, row + K).reduce((sum, share, k) => sum + share * dy[row + k], 0);
              return (p * (dy[i] - mean)) / temperature;
            });
            return { y, dx };
          },
          // where one logit is far ahead, dy less its mean under p is a small difference
          terms: ({ dy }) => ({ dx: largest(dy) / (K * temperature) }),
        });
    });
  }

for (const form of forms)
  test(`logits of thousands, of either sign, spoil nothing, ${form}`, async () => {
    const [N, K] = [6, 37];
    const random = generator();
    const data = randoms(random, N * K, 0, 3).map((v, i) => v + 20_000 * ((Math.floor(i / K) % 3) - 1));
    data[5] = 30_000;
    const classes = Array.from({ length: N }, (_, n) => n);
    using plan = new Plan(device, { variants: { softmax: form } });
    const tape = new Tape(plan);
    const x = tape.requireGrad(upload(device, 'x', [N, K], data));
    const one = upload(device, 'dloss', [1], Float32Array.of(1));
    const own = uploadClasses(classes);
    const loss = softmaxCrossEntropy(tape, x, own);
    const p = softmax(new Tape(plan, { noGrad: true }), x);
    tape.backward(loss, one);
    const dx = tape.gradient(x) as Tensor;
    for (const kept of [loss, p, dx]) plan.retain(kept);
    await plan.compile();
    plan.poison();
    plan.run();
    const expected = reference(data, oneHot(classes, K), 1, K);
    close((await plan.read(loss)).subarray(0, 1), expected.y, 'loss');
    close(await plan.read(dx), expected.dx, 'dx');
    const found = await plan.read(p);
    for (let n = 0; n < N; n++) {
      const row = found.subarray(n * K, (n + 1) * K);
      close(row, logSoftmax(data.subarray(n * K, (n + 1) * K), 1).map(Math.exp), `row ${n}`);
      assert.ok(Math.abs(row.reduce((a, b) => a + b) - 1) < 1e-5, `row ${n} adds up to 1 (seed ${seed})`);
    }
    for (const each of [x, one, own]) device.free(each);
  });

test('what does not fit is refused by name', async () => {
  const tape = new Tape(new Plan(device));
  const make = (...shape: number[]) => tape.empty('x', shape);
  await rejects(
    () => softmaxCrossEntropy(tape, make(4)),
    ShapeError,
    /softmaxCrossEntropy: expected logits \(N, L\), all above 0, got \(4\)/,
  );
  await rejects(
    () => softmaxCrossEntropy(tape, make(4, 3), make(4, 2)),
    ShapeError,
    /expected targets \(4, 3\) or classes \(4\) for logits \(4, 3\), got \(4, 2\)/,
  );
  await rejects(
    () => softmaxCrossEntropy(tape, make(4, 3), undefined, { temperature: 0 }),
    ConfigError,
    /softmaxCrossEntropy: expected a temperature above 0, got 0/,
  );
  await rejects(
    () => softmaxCrossEntropy(tape, make(4, 3), undefined, { scale: Number.NaN }),
    ConfigError,
    /expected a finite scale, got NaN/,
  );
  await rejects(() => softmax(tape, make(2, 3), { temperature: -1 }), ConfigError, /softmax: expected a temperature/);
});

test.run();
