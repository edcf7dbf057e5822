// Activations kept in f16: every op gives what it gives in f32 on the same numbers, its outputs rounded once.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { DeviceError, ValidationError } from '../../src/errors.js';
import { activation } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { concat, narrow, transpose } from '../../src/ops/copy.js';
import { depthwise } from '../../src/ops/depthwise.js';
import { exp, mul, scale, sub } from '../../src/ops/elementwise.js';
import { linear } from '../../src/ops/linear.js';
import { pointwise } from '../../src/ops/pointwise.js';
import { averagePool, globalAveragePool, maxPool } from '../../src/ops/pool.js';
import { mean, sum } from '../../src/ops/reduce.js';
import { scaleChannels } from '../../src/ops/scale_channels.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { tune } from '../../src/runtime/tuner.js';
import { fromHalf, toHalf } from '../../src/tensor/float16.js';
import { numel, type Precision, sliceView, type Tensor, tensor, transient } from '../../src/tensor/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

interface Case {
  x: readonly number[];
  weights?: Record<string, { host: readonly number[]; slim: readonly number[] }>;
  run(tape: Tape, x: Tensor, weights: Record<string, Tensor>): Tensor;
  /** Kernel variants to go through besides the default. */
  variants?: readonly Record<string, string>[];
}

const all = (stem: string, ...forms: string[]) => forms.map((form) => ({ [stem]: form }));
const products = all('pointwise', 'plain', 'register', 'shared64', 'shared32', 'subgroup4', 'subgroup8');
const windows = all('conv2d', 'plain', 'window', 'subgroup4', 'subgroup8');
const tiles = all('conv2d', 'tile4', 'tile8');
/** Whether a form runs here: a number at the end of these names is that of the lanes that it needs. */
const runs = (form: string) => device.subgroupSize >= Number(/^(?:subgroup|tile)(\d+)$/.exec(form)?.[1] ?? 0);
const conv =
  (stride: number, padding: number) =>
  (tape: Tape, x: Tensor, { weight }: Record<string, Tensor>) =>
    conv2d(tape, x, weight, { stride, padding });
const deep =
  (stride: number, padding: number) =>
  (tape: Tape, x: Tensor, { weight }: Record<string, Tensor>) =>
    depthwise(tape, x, weight, { stride, padding });
const channels = (C: number) =>
  Object.fromEntries(
    ['gamma', 'beta', 'runningMean', 'runningVar'].map((name) => [name, { host: [C + 2], slim: [C] }]),
  );
const norm = (tape: Tape, x: Tensor, w: Record<string, Tensor>) =>
  batchnorm(tape, x, w as never, { activation: 'hardswish' });

const cases: Record<string, Case> = {
  'pointwise on planes of 4': {
    x: [3, 13, 4, 4],
    weights: { weight: { host: [21, 17], slim: [19, 13] } },
    run: (tape, x, { weight }) => pointwise(tape, x, weight),
    variants: products,
  },
  'pointwise on odd planes': {
    x: [3, 13, 5, 3],
    weights: { weight: { host: [21, 17], slim: [19, 13] } },
    run: (tape, x, { weight }) => pointwise(tape, x, weight),
    variants: products,
  },
  'pointwise on maps of one pixel': {
    x: [6, 13, 1, 1],
    weights: { weight: { host: [21, 17], slim: [19, 13] } },
    run: (tape, x, { weight }) => pointwise(tape, x, weight),
  },
  'conv2d 3x3, stride 2': {
    x: [2, 5, 9, 7],
    weights: { weight: { host: [11, 6, 3, 3], slim: [9, 5, 3, 3] } },
    run: conv(2, 1),
    variants: [...windows, ...tiles],
  },
  'conv2d 3x3': {
    x: [2, 5, 8, 8],
    weights: { weight: { host: [11, 6, 3, 3], slim: [9, 5, 3, 3] } },
    run: conv(1, 1),
    variants: [...windows, ...tiles],
  },
  'conv2d 3x3 of three channels, odd maps': {
    x: [2, 3, 7, 9],
    weights: { weight: { host: [11, 4, 3, 3], slim: [9, 3, 3, 3] } },
    run: conv(1, 1),
    variants: [...windows, ...tiles],
  },
  'conv2d 3x3 of three channels, stride 2, even maps': {
    x: [2, 3, 8, 8],
    weights: { weight: { host: [11, 4, 3, 3], slim: [9, 3, 3, 3] } },
    run: conv(2, 1),
    variants: [...windows, ...tiles],
  },
  'conv2d 7x7, stride 2': {
    x: [2, 3, 14, 14],
    weights: { weight: { host: [11, 3, 7, 7], slim: [9, 3, 7, 7] } },
    run: conv(2, 3),
    variants: windows,
  },
  'conv2d 1x1, stride 2': {
    x: [2, 5, 7, 7],
    weights: { weight: { host: [11, 6, 1, 1], slim: [9, 5, 1, 1] } },
    run: conv(2, 0),
    variants: windows,
  },
  'depthwise 5x5': {
    x: [2, 5, 7, 7],
    weights: { weight: { host: [7, 1, 5, 5], slim: [5, 1, 5, 5] } },
    run: deep(1, 2),
    variants: all('depthwise', 'plain', 'row', 'strip'),
  },
  'depthwise 5x5, stride 2': {
    x: [2, 5, 14, 14],
    weights: { weight: { host: [7, 1, 5, 5], slim: [5, 1, 5, 5] } },
    run: deep(2, 2),
    variants: all('depthwise', 'plain', 'row'),
  },
  'depthwise 3x3': {
    x: [2, 5, 8, 8],
    weights: { weight: { host: [7, 1, 3, 3], slim: [5, 1, 3, 3] } },
    run: deep(1, 1),
    variants: all('depthwise', 'plain', 'row', 'strip', 'shuffle'),
  },
  'depthwise 3x3, stride 2': {
    x: [2, 5, 9, 7],
    weights: { weight: { host: [7, 1, 3, 3], slim: [5, 1, 3, 3] } },
    run: deep(2, 1),
    variants: all('depthwise', 'plain', 'row', 'strip'),
  },
  'depthwise 7x7': {
    x: [2, 3, 9, 9],
    weights: { weight: { host: [4, 1, 7, 7], slim: [3, 1, 7, 7] } },
    run: deep(1, 3),
    variants: all('depthwise', 'plain', 'row'),
  },
  'batchnorm on planes of 4': { x: [4, 3, 4, 4], weights: channels(3), run: norm, variants: all('batchnorm', 'wide') },
  'batchnorm on odd planes': { x: [4, 3, 3, 3], weights: channels(3), run: norm, variants: all('batchnorm', 'wide') },
  activation: { x: [3, 5, 3, 3], run: (tape, x) => activation(tape, x, 'silu') },
  add: { x: [3, 5, 3, 3], run: (tape, x) => add(tape, x, activation(tape, x, 'relu6')) },
  'x * x': { x: [3, 5, 3, 3], run: (tape, x) => mul(tape, x, x) },
  'x * a part of it, repeated': { x: [7, 5], run: (tape, x) => mul(tape, x, narrow(tape, x, 1, 2, 1)) },
  'x - its first row': { x: [7, 5], run: (tape, x) => sub(tape, x, narrow(tape, x, 0, 0, 1)) },
  exp: { x: [3, 5, 3, 3], run: exp },
  scale: { x: [3, 5, 3], run: (tape, x) => scale(tape, x, 1.3) },
  'concat, transposed': { x: [7, 5], run: (tape, x) => transpose(tape, concat(tape, [x, x], 1)) },
  sum: { x: [3, 5, 3], run: (tape, x) => sum(tape, x, { dim: 1 }) },
  mean: { x: [3, 5, 3], run: (tape, x) => mean(tape, x) },
  'global average': { x: [3, 5, 7, 7], run: globalAveragePool },
  'scaled channels': {
    x: [3, 5, 7, 7],
    run: (tape, x) => scaleChannels(tape, x, activation(tape, globalAveragePool(tape, x), 'sigmoid')),
    variants: all('scaleChannels', 'alone', 'together'),
  },
  'average pool': { x: [3, 5, 7, 7], run: (tape, x) => averagePool(tape, x, { kernelSize: 2 }) },
  'max pool': { x: [3, 5, 7, 7], run: (tape, x) => maxPool(tape, x, { kernelSize: 3, stride: 2, padding: 1 }) },
};

/** Cases whose outputs are f32. */
const inFull = ['global average', 'sum', 'mean'];

/** What an op writes, from the same numbers in either precision. */
async function pass({ x: shape, weights = {}, run }: Case, precision: Precision, variants: Record<string, string>) {
  const random = generator(seed);
  const halves = toHalf(randoms(random, numel(shape), 0.3, 1));
  const values = precision === 'f16' ? halves : fromHalf(halves);
  const padded = new Uint8Array(Math.ceil(values.byteLength / 16) * 16);
  padded.set(new Uint8Array(values.buffer));
  const buffer = device.buffer('x', padded.length);
  device.write(buffer, padded);
  const x = tensor(buffer, 'x', shape, 0, precision);
  const whole = Object.entries(weights).map(([name, { host, slim }]) => {
    const made = upload(device, name, host, randoms(random, numel(host), 0.4, 0.5), randoms(random, numel(host)));
    return [name, made, sliceView(made, slim)] as const;
  });
  using plan = new Plan(device, { variants });
  const tape = new Tape(plan);
  const y = run(tape, tape.requireGrad(x), Object.fromEntries(whole.map(([name, , slice]) => [name, slice])));
  const dy = upload(device, 'dy', y.shape, randoms(random, numel(y.shape), 0.1, 1));
  tape.backward(y, dy);
  const dx = tape.gradient(x) as Tensor;
  for (const output of [y, dx]) plan.retain(output);
  await plan.compile();
  plan.poison();
  plan.run();
  const results: Record<string, Float32Array> = { y: await plan.read(y), dx: await plan.read(dx) };
  for (const [name, made] of whole) results[`d${name}`] = await plan.read(made.grad as Tensor);
  for (const t of [x, dy, ...whole.flatMap(([, made]) => [made, made.grad as Tensor])]) device.free(t);
  return { results, half: Boolean(y.half), dxHalf: Boolean(dx.half), shape: y.shape };
}

for (const [name, c] of Object.entries(cases))
  test(`${name}: outputs rounded once, gradients as in f32`, async () => {
    if (!device.features.has('shader-f16')) {
      await rejects(() => pass(c, 'f16', {}), DeviceError, /has no shader-f16; use precision f32/);
      return;
    }
    for (const variants of [{}, ...(c.variants ?? [])].filter((each) => Object.values(each).every(runs))) {
      const what = `${name} ${Object.values(variants)}`;
      const full = await pass(c, 'f32', variants);
      const { results, half, dxHalf } = await pass(c, 'f16', variants);
      assert.equal([half, dxHalf], [!inFull.includes(name), false], `${what}: what is f16`);
      const { y, ...gradients } = results;
      // half a unit in the last place of f16, and what f32 sums may differ by
      for (let i = 0; i < numel(full.shape); i++) {
        const expected = full.results.y[i];
        const room = (half ? 2 ** -11 : 0) * Math.abs(expected) + 2 ** -24 + 2e-6;
        assert.ok(Math.abs(y[i] - expected) <= room, `${what}: y[${i}] ${y[i]}, ${expected} in f32 (seed ${seed})`);
      }
      // where the op's own outputs feed on, gradients see their rounding
      const tolerance = name === 'add' ? 2e-3 : 2e-6;
      for (const [key, values] of Object.entries(gradients))
        close(values, full.results[key], `${what}: ${key}`, tolerance);
    }
  });

test('half precision is read and written exactly', () => {
  const bits = Uint16Array.from({ length: 65536 }, (_, i) => i).filter((half) => (half & 0x7c00) !== 0x7c00);
  assert.equal(toHalf(fromHalf(bits)), bits);
  const between = Float32Array.of(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519.99, 65520, -1e9, 2 ** -25, 1.5 * 2 ** -24);
  assert.equal([...fromHalf(toHalf(between))], [1, 1 + 2 ** -9, 65504, Infinity, -Infinity, 0, 2 ** -23]);
  assert.ok(Number.isNaN(fromHalf(toHalf(Float32Array.of(Number.NaN)))[0]));
});

test('precisions do not mix, and only activations are f16', async () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const buffer = device.buffer('x', 1024);
  const [half, full] = [tensor(buffer, 'x', [2, 4, 2, 2], 0, 'f16'), tensor(buffer, 'x', [2, 4, 2, 2])];
  const weight = tensor(buffer, 'weight', [4, 4]);
  await rejects(
    () => add(tape, half, full),
    ValidationError,
    /^add.*a, b, y all in f32 or all in f16, got f16 for a,y/,
  );
  await rejects(() => linear(tape, tensor(buffer, 'x', [4, 4], 0, 'f16'), weight), ValidationError, /expected f32 for/);
  await rejects(() => pointwise(tape, full, { ...weight, half: true }), ValidationError, /expected f32 for "weight"/);
  device.free(buffer);
});

test('kernels on f16 are tuned on f16', async () => {
  if (!device.features.has('shader-f16')) return;
  const plan = new Plan(device);
  const x = transient(plan, 'x', [4, 8, 4, 4], 'f16');
  const tape = new Tape(plan);
  const weight = upload(device, 'weight', [8, 8], new Float32Array(64));
  pointwise(tape, x, weight);
  const refused: string[] = [];
  await tune(plan, {
    onTuned: ({ trials }) => refused.push(...trials.flatMap(({ refused: why }) => (why ? [why] : []))),
  });
  assert.equal(refused, []);
  plan.dispose();
  device.free(weight);
});

test.run();
