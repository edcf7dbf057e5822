import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import type { Activation } from '../../src/ops/activation.js';
import { type BatchNormOptions, batchnorm } from '../../src/ops/batchnorm.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, selectView, type Tensor } from '../../src/tensor/tensor.js';
import { checkOp, chosen, close, upload, uploadList } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { kinks, names, slope, value } from './activations.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

interface Reference {
  y: Float64Array;
  /** Before the activation. */
  before: Float64Array;
  dx: Float64Array;
  dgamma: Float64Array;
  dbeta: Float64Array;
  mean: Float64Array;
  /** Biased. */
  variance: Float64Array;
}

/** Two-pass f64 batch normalization and its gradients; with `statistics` these are constants. */
function reference(
  shape: readonly number[],
  { x, gamma, beta, dy }: Record<string, ArrayLike<number>>,
  activation: Activation,
  statistics?: { mean: ArrayLike<number>; variance: ArrayLike<number> },
): Reference {
  const [N, C, H = 1, W = 1] = shape;
  const P = H * W;
  const M = N * P;
  const of = () => new Float64Array(C);
  const result = {
    y: new Float64Array(x.length),
    before: new Float64Array(x.length),
    dx: new Float64Array(x.length),
    dgamma: of(),
    dbeta: of(),
    mean: of(),
    variance: of(),
  };
  for (let c = 0; c < C; c++) {
    const elements = Array.from({ length: M }, (_, k) => (Math.floor(k / P) * C + c) * P + (k % P));
    const mean = statistics?.mean[c] ?? elements.reduce((sum, i) => sum + x[i], 0) / M;
    const variance = statistics?.variance[c] ?? elements.reduce((sum, i) => sum + (x[i] - mean) ** 2, 0) / M;
    const rstd = 1 / Math.sqrt(variance + 1e-5);
    result.mean[c] = mean;
    result.variance[c] = variance;
    for (const i of elements) {
      const xhat = (x[i] - mean) * rstd;
      const v = gamma[c] * xhat + beta[c];
      result.before[i] = v;
      result.y[i] = value[activation](v);
      const g = dy[i] * slope[activation](v);
      result.dbeta[c] += g;
      result.dgamma[c] += g * xhat;
      result.dx[i] = g;
    }
    const share = statistics ? 0 : 1 / M;
    for (const i of elements) {
      const xhat = (x[i] - mean) * rstd;
      result.dx[i] = gamma[c] * rstd * (result.dx[i] - share * (result.dbeta[c] + xhat * result.dgamma[c]));
    }
  }
  return result;
}

interface Case {
  shape: readonly number[];
  /** Channels of the host; the op uses the first C, or some kept by a list. */
  host?: number;
  kept?: boolean;
  /** Of x. */
  mean?: number;
  spread?: number;
  options?: BatchNormOptions;
  form?: 'narrow' | 'wide';
}

/**
 * Runs twice from the same poisoned start and compares everything written with the reference, in units of the
 * reference's largest value: y, the gradients (within `gradient`) and the running statistics.
 */
async function check(of: Case, gradient = 1e-5): Promise<void> {
  const { shape, host = shape[1], kept = false, mean = 0.4, spread = 1.5, options = {}, form } = of;
  const random = generator();
  const C = shape[1];
  const { training = true, updateStats = training, momentum = 0.1, activation = 'none' } = options;
  const plan = new Plan(device, form && { variants: { batchnorm: form } });
  const tape = new Tape(plan);
  const channelMeans = randoms(random, C, mean, Math.abs(mean) / 2);
  const P = numel(shape.slice(2));
  const xs = randoms(random, numel(shape), 0, spread).map((v, i) => v + channelMeans[Math.floor(i / P) % C]);
  const data = {
    gamma: randoms(random, host, 0.5, 1),
    beta: randoms(random, host, 0.2, 1),
    dgamma: randoms(random, host),
    dbeta: randoms(random, host),
    runningMean: randoms(random, host, mean, 0.1),
    runningVar: randoms(random, host, 1, 0.5),
  };
  const whole = {
    gamma: upload(device, 'gamma', [host], data.gamma, data.dgamma),
    beta: upload(device, 'beta', [host], data.beta, data.dbeta),
    runningMean: upload(device, 'running_mean', [host], data.runningMean),
    runningVar: upload(device, 'running_var', [host], data.runningVar),
  };
  const x = tape.requireGrad(upload(device, 'x', shape, xs));
  const dyData = randoms(random, numel(shape), 0.1, 1);
  const list = kept ? chosen(random, host, C) : Array.from({ length: C }, (_, c) => c);
  const cut = (values: ArrayLike<number>) => list.map((h) => values[h]);
  const statistics = training ? undefined : { mean: cut(data.runningMean), variance: cut(data.runningVar) };
  const affine = { gamma: cut(data.gamma), beta: cut(data.beta) };
  // what rounding may move over a kink, and with it all sums of its channel, gets no gradient
  const { before } = reference(shape, { x: xs, ...affine, dy: dyData }, activation, statistics);
  before.forEach((v, i) => {
    if (kinks[activation]?.some((kink) => Math.abs(v - kink) < 1e-5)) dyData[i] = 0;
  });
  const dy = upload(device, 'dy', shape, dyData);
  const rows = kept ? uploadList(device, list) : undefined;
  const slim = (t: Tensor) => selectView(t, [C], { rows });
  const y = batchnorm(
    tape,
    x,
    {
      gamma: slim(whole.gamma),
      beta: slim(whole.beta),
      runningMean: slim(whole.runningMean),
      runningVar: slim(whole.runningVar),
    },
    options,
  );
  tape.backward(y, dy);
  const dx = tape.gradient(x);
  assert.ok(dx);
  plan.retain(y);
  plan.retain(dx);
  const memory = [x, dy, ...Object.values(whole), whole.gamma.grad, whole.beta.grad, ...(rows ? [rows] : [])];
  try {
    await plan.compile();
    const written: [string, Tensor, Float32Array<ArrayBuffer> | undefined][] = [
      ['y', y, undefined],
      ['dx', dx, undefined],
      ['dgamma', whole.gamma.grad as Tensor, data.dgamma],
      ['dbeta', whole.beta.grad as Tensor, data.dbeta],
      ['runningMean', whole.runningMean, data.runningMean],
      ['runningVar', whole.runningVar, data.runningVar],
    ];
    const run = async () => {
      plan.poison();
      for (const [, t, start] of written) if (start) device.write(t, start);
      plan.run();
      const results = new Map<string, Float32Array>();
      for (const [name, t] of written) results.set(name, (await plan.read(t)).slice(0, numel(t.shape)));
      return results;
    };
    const results = await run();
    for (const [name, again] of await run()) {
      const first = results.get(name) as Float32Array;
      assert.equal(
        new Uint32Array(first.buffer),
        new Uint32Array(again.buffer),
        `${name} repeats bit for bit (seed ${seed})`,
      );
    }
    const expected = reference(shape, { x: xs, ...affine, dy: dyData }, activation, statistics);
    const inSlice = new Map(list.map((h, c) => [h, c]));
    const add = (old: number, h: number, added: (c: number) => number) => {
      const c = inSlice.get(h);
      return c === undefined ? old : old + added(c);
    };
    const M = shape[0] * P;
    const blend = (old: Float32Array, batch: (c: number) => number) =>
      old.map((v, h) => add(v, h, (c) => (updateStats ? momentum * (batch(c) - v) : 0)));
    const get = (name: string) => results.get(name) as Float32Array;
    close(get('y'), expected.y, 'y');
    close(get('dx'), expected.dx, 'dx', gradient);
    // A sum of M terms of about 1 is apt to be √M: where chance leaves all of them small, that is what rounding is measured by.
    for (const name of ['dgamma', 'dbeta'] as const)
      close(
        [...get(name), Math.sqrt(M)],
        [...data[name].map((v, h) => add(v, h, (c) => expected[name][c])), Math.sqrt(M)],
        name,
        gradient,
      );
    close(
      get('runningMean'),
      blend(data.runningMean, (c) => expected.mean[c]),
      'running mean',
      1e-6,
    );
    close(
      get('runningVar'),
      blend(data.runningVar, (c) => (expected.variance[c] * M) / (M - 1)),
      'running variance',
      1e-5,
    );
  } finally {
    plan.dispose();
    device.release(memory.filter((each) => each !== undefined));
  }
}

const shapes = [
  [2, 3, 5, 7], // columns: odd planes
  [4, 5, 3, 3],
  [16, 24, 7, 7],
  [33, 65, 1, 1],
  [3, 17], // (N, C)
  [300, 5], // split rows
  [520, 256],
  [2, 1, 2, 2], // planes: a quad
  [9, 7, 6, 6],
  [5, 4, 8, 8],
  [8, 3, 32, 32], // split planes
  [4, 130, 4, 4],
  [4, 24, 14, 14],
  [1, 3, 112, 112],
];
for (const form of ['narrow', 'wide'] as const)
  for (const shape of shapes) test(`training, ${form}, ${shape}`, () => check({ shape, form }));
for (const shape of [
  [16, 6, 8, 8],
  [6, 9, 5, 5],
  [40, 33],
])
  for (const activation of names)
    test(`training and ${activation}, ${shape}`, () => check({ shape, spread: 4, options: { activation } }));

for (const shape of [
  [16, 6, 8, 8],
  [6, 9, 5, 5],
  [40, 33],
]) {
  test(`a slim prefix leaves the rest of the host alone, ${shape}`, () => check({ shape, host: shape[1] + 4 }));
  for (const form of ['narrow', 'wide'] as const)
    for (const training of [true, false])
      test(`channels kept by a list, ${form}, ${training ? 'training' : 'evaluation'}, ${shape}`, () =>
        check({ shape, host: shape[1] + 5, kept: true, form, options: { training, activation: 'silu' } }));
  test(`a large mean cancels, ${shape}`, () => check({ shape, mean: 100, spread: 0.17 }));
  test(`statistics are left alone without updateStats, ${shape}`, () =>
    check({ shape, options: { updateStats: false } }));
  test(`momentum 0.01, ${shape}`, () => check({ shape, options: { momentum: 0.01 } }));
  for (const activation of names)
    test(`evaluation and ${activation}, ${shape}`, () =>
      check({ shape, spread: 4, options: { training: false, activation } }));
}

test('a list is heeded where reductions are split, and one list serves all four parameters', async () => {
  for (const shape of [
    [300, 5],
    [8, 3, 32, 32],
  ])
    await check({ shape, host: 9, kept: true });
  const lists = [0, 1].map(() => uploadList(device, [1, 2, 4]));
  const [gamma, beta, runningMean, runningVar] = [0, 1, 0, 0].map((which) =>
    selectView(upload(device, 't', [6], new Float32Array(6)), [3], { rows: lists[which] }),
  );
  const tape = new Tape(new Plan(device));
  assert.throws(
    () => batchnorm(tape, tape.empty('x', [2, 3]), { gamma, beta, runningMean, runningVar }),
    /batchnorm: expected beta to use the index list of gamma/,
  );
});

test('the variance of a million values of mean 100 and sd 0.1', async () => {
  // dy has a mean, so dgamma holds the rounding of the mean of x half a million times over
  await check({ shape: [16, 2, 256, 128], mean: 100, spread: 0.17 }, 1e-4);
});

test('split and whole reductions agree with the shared checker', async () => {
  const [runningMean, runningVar] = ['mean', 'var'].map((name) =>
    upload(device, name, [6], new Float32Array(6).fill(1)),
  );
  for (const shape of [
    [32, 6, 16, 16],
    [3, 6, 2, 2],
  ])
    await checkOp(device, 'batchnorm', {
      inputs: { x: shape },
      weights: { gamma: { host: [9], slim: [6] }, beta: { host: [9], slim: [6] } },
      run: (tape, { x, gamma, beta }) =>
        batchnorm(tape, x, { gamma, beta, runningMean, runningVar }, { updateStats: false, activation: 'hardswish' }),
      reference: ({ x, gamma, beta, dy }) => {
        const { y, dx, dgamma, dbeta } = reference(shape, { x, gamma, beta, dy }, 'hardswish');
        return { y, dx, dgamma, dbeta };
      },
    });
  for (const each of [runningMean, runningVar]) device.free(each);
});

test('shapes that do not fit are refused by name', () => {
  const make = (shape: number[]) => new Tape(new Plan(device)).empty('t', shape);
  const four = (C: number) => ({ gamma: make([C]), beta: make([C]), runningMean: make([C]), runningVar: make([C]) });
  const tape = new Tape(new Plan(device));
  assert.throws(
    () => batchnorm(tape, make([2, 3, 4]), four(3)),
    /batchnorm: expected x \(N, C, H, W\) or \(N, C\), got \(2, 3, 4\)/,
  );
  assert.throws(
    () => batchnorm(tape, make([2, 3]), four(4)),
    /batchnorm: expected gamma \(3\) for x \(2, 3\), got \(4\)/,
  );
  assert.throws(
    () => batchnorm(tape, make([1, 3]), four(3)),
    /expected more than one value a channel in training, got x \(1, 3\)/,
  );
  assert.throws(() => batchnorm(tape, make([2, 3]), four(3), { eps: 0 }), /expected eps > 0, got 0/);
  assert.throws(() => batchnorm(tape, make([2, 3]), four(3), { momentum: 2 }), /expected momentum from 0 to 1, got 2/);
});

test.run();
