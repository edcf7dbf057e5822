import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { conv2d } from '../../src/ops/conv2d.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { statsOf } from '../../src/runtime/stats.js';
import { checkOp, chosen, close, type Kept, type OpCase, upload } from '../check.js';
import { openTestDevice, pretend } from '../device.js';
import { generator, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

interface Case {
  x: [N: number, I: number, H: number, W: number];
  weight: [O: number, K: number];
  host?: [O: number, I: number];
  stride?: number;
  padding?: number;
}

/** All three passes in f64, one multiply-add at a time. */
function reference({ x: [N, I, H, W], weight: [O, K], stride = 1, padding = 0 }: Case): OpCase['reference'] {
  const OH = Math.floor((H + 2 * padding - K) / stride) + 1;
  const OW = Math.floor((W + 2 * padding - K) / stride) + 1;
  return ({ x, weight, dy }) => {
    const y = new Float64Array(N * O * OH * OW);
    const dx = new Float64Array(x.length);
    const dweight = new Float64Array(weight.length);
    const visit = (n: number, o: number, i: number, ky: number, kx: number) => {
      const j = ((o * I + i) * K + ky) * K + kx;
      for (let p = 0; p < OH; p++)
        for (let q = 0; q < OW; q++) {
          const h = p * stride + ky - padding;
          const w = q * stride + kx - padding;
          if (h < 0 || w < 0 || h >= H || w >= W) continue;
          const from = ((n * I + i) * H + h) * W + w;
          const to = ((n * O + o) * OH + p) * OW + q;
          y[to] += x[from] * weight[j];
          dx[from] += dy[to] * weight[j];
          dweight[j] += dy[to] * x[from];
        }
    };
    for (let n = 0; n < N; n++)
      for (let o = 0; o < O; o++)
        for (let i = 0; i < I; i++)
          for (let ky = 0; ky < K; ky++) for (let kx = 0; kx < K; kx++) visit(n, o, i, ky, kx);
    return { y, dx, dweight };
  };
}

function opCase(shape: Case, form: string, kept?: Kept): OpCase {
  const {
    x,
    weight: [O, K],
    host: [hostO, hostI] = [O, x[1]],
    stride,
    padding,
  } = shape;
  return {
    inputs: { x },
    weights: { weight: { host: [hostO, hostI, K, K], slim: [O, x[1], K, K], ...(kept && { kept }) } },
    run: (tape, { x, weight }) => conv2d(tape, x, weight, { stride, padding }),
    reference: reference(shape),
    variants: { 'conv2d.forward': form, 'conv2d.backward_input': form, 'conv2d.backward_weight': form },
  };
}

const cases: Record<string, Case> = {
  'odd map, slim in both directions': { x: [2, 3, 9, 7], weight: [5, 3], host: [8, 5], padding: 1 },
  'no padding, more than one octet': { x: [3, 5, 9, 8], weight: [17, 3], host: [24, 7] },
  'stride 2, odd map': { x: [3, 9, 9, 7], weight: [10, 3], host: [16, 12], stride: 2, padding: 1 },
  'stride 2, even map': { x: [2, 4, 8, 8], weight: [6, 3], stride: 2, padding: 1 },
  'stride 2, no padding, last row and column unseen': { x: [2, 3, 8, 6], weight: [4, 3], stride: 2 },
  'two channels': { x: [5, 2, 9, 14], weight: [21, 3], host: [24, 3], padding: 1 },
  'four channels, stride 2': { x: [3, 4, 11, 10], weight: [18, 3], host: [20, 5], stride: 2, padding: 1 },
  '3x3, stride 3': { x: [2, 3, 10, 13], weight: [5, 3], stride: 3, padding: 1 },
  '3x3, padding 2, more channels than a tile': { x: [2, 19, 6, 9], weight: [35, 3], host: [40, 24], padding: 2 },
  '3x3, padding 3: wider than the kernel reaches': { x: [1, 2, 5, 6], weight: [3, 3], padding: 3 },
  'stride 2, one row and column': { x: [3, 9, 1, 1], weight: [4, 3], stride: 2, padding: 1 },
  'stride 2, wide': { x: [2, 17, 5, 21], weight: [6, 3], host: [8, 20], stride: 2, padding: 1 },
  '5x5': { x: [2, 4, 8, 6], weight: [11, 5], host: [12, 6], padding: 2 },
  '5x5, stride 2': { x: [2, 3, 11, 9], weight: [6, 5], stride: 2, padding: 2 },
  '7x7, stride 2: an ImageNet stem': { x: [1, 3, 15, 15], weight: [9, 7], stride: 2, padding: 3 },
  '7x7 on a smaller map': { x: [2, 3, 5, 5], weight: [4, 7], padding: 3 },
  '1x1, stride 2: a shortcut': { x: [2, 9, 6, 5], weight: [20, 1], host: [24, 12], stride: 2 },
  '1x1, padded': { x: [2, 3, 4, 3], weight: [5, 1], padding: 1 },
  '2x2, stride 3: gaps between the windows': { x: [1, 2, 9, 9], weight: [3, 2], stride: 3, padding: 1 },
  '4x4, stride 3': { x: [2, 3, 10, 9], weight: [4, 4], stride: 3, padding: 2 },
  '2x2 maps of many images': { x: [37, 4, 2, 2], weight: [9, 3], padding: 1 },
  '1x1 maps': { x: [19, 5, 1, 1], weight: [3, 3], padding: 1 },
  'a CIFAR stem': { x: [4, 3, 32, 32], weight: [24, 3], host: [36, 3], padding: 1 },
  'maps of 7 pixels a side': { x: [5, 12, 7, 7], weight: [21, 3], host: [24, 16], padding: 1 },
  '14 pixels a side to 7': { x: [3, 10, 14, 14], weight: [18, 3], host: [24, 12], stride: 2, padding: 1 },
  '1x1, stride 2, 14 pixels a side to 7': { x: [3, 9, 14, 14], weight: [20, 1], host: [24, 12], stride: 2 },
  '7x7, stride 2, even map, a slim stem': { x: [2, 3, 28, 28], weight: [17, 7], host: [24, 3], stride: 2, padding: 3 },
  'a stem of stride 2 on wide rows': { x: [1, 3, 20, 224], weight: [9, 3], host: [16, 3], stride: 2, padding: 1 },
  'many channels, several splits': { x: [9, 24, 12, 12], weight: [16, 3], host: [16, 36], padding: 1 },
};

async function checkForms(shape: Case, on = device, kept?: Kept): Promise<void> {
  const plain = await checkOp(on, 'conv2d plain', { ...opCase(shape, 'plain', kept), seed });
  const { weight, stride = 1, padding = 0 } = shape;
  const tiled = {
    'conv2d.forward': weight[1] === 3 && stride <= 2,
    'conv2d.backward_weight': weight[1] === 3,
    'conv2d.backward_input': weight[1] === 3 && (stride === 1 ? padding < 3 : stride === 2 && padding === 1),
  };
  for (const [form, subgroups] of Object.entries({ window: 0, subgroup4: 4, subgroup8: 8, tile4: 4, tile8: 8 })) {
    if (subgroups > on.subgroupSize) continue;
    const variants = { ...opCase(shape, form).variants };
    if (form.startsWith('tile')) {
      for (const [key, has] of Object.entries(tiled)) if (!has) variants[key] = 'window';
    }
    const results = await checkOp(on, `conv2d ${form}`, { ...opCase(shape, form, kept), variants, seed });
    for (const [key, values] of Object.entries(plain))
      close(results[key], values, `conv2d ${form}: ${key} (case seed ${seed})`);
  }
}

for (const [name, shape] of Object.entries(cases)) {
  test(`${name}: every form agrees with f64 and with the plain form`, async () => {
    await checkForms(shape);
  });
}

const random = generator();
for (const [name, shape] of Object.entries(cases)) {
  const { x, weight, host } = shape;
  if (!host) continue;
  test(`${name}, kept by lists: every form agrees with f64 and with the plain form`, async () => {
    const list = (all: number, some: number) => (some < all ? chosen(random, all, some) : undefined);
    await checkForms(shape, device, [list(host[0], weight[0]), list(host[1], x[1])]);
  });
}

for (const name of [
  'four channels, stride 2',
  'two channels',
  '3x3, padding 2, more channels than a tile',
  'stride 2, wide',
]) {
  test(`${name}: with the workgroups of a hardware adapter`, async () => {
    await checkForms(cases[name], pretend(device, { software: false }));
  });
}

const folded: Case[] = [
  { x: [1, 3, 3, 3], weight: [80, 3], padding: 1 },
  { x: [1, 80, 3, 3], weight: [8, 2], padding: 1 },
];
for (const shape of folded) {
  test(`workgroups may be folded over two dimensions: ${JSON.stringify(shape)}`, async () => {
    await checkForms(shape, pretend(device, { limits: { maxComputeWorkgroupsPerDimension: 9 } }));
  });
}

test('1x1 without stride or padding is pointwise', async () => {
  const shape: Case = { x: [3, 7, 5, 5], weight: [9, 1], host: [12, 10] };
  const { variants: _, ...pointwise } = opCase(shape, '');
  await checkOp(device, 'conv2d', pointwise);
  const plan = new Plan(device);
  const x = upload(device, 'x', [1, 2, 3, 3], new Float32Array(18));
  const weight = upload(device, 'weight', [4, 2, 1, 1], new Float32Array(8));
  conv2d(new Tape(plan), x, weight);
  assert.ok(plan.dispatches.every(({ label }) => label.startsWith('pointwise')));
});

test('no gradient is computed for an input that needs none', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = upload(device, 'x', [1, 2, 4, 4], new Float32Array(32));
  const weight = upload(device, 'weight', [3, 2, 3, 3], new Float32Array(54), new Float32Array(54));
  const y = conv2d(tape, x, weight, { padding: 1 });
  tape.backward(y, y);
  assert.not.ok(plan.dispatches.some(({ label }) => label.includes('backward_input')));
  assert.ok(plan.dispatches.some(({ label }) => label.includes('backward_weight')));
});

test('every multiply-add is declared once a pass', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = tape.requireGrad(upload(device, 'x', [2, 3, 8, 8], new Float32Array(384)));
  const weight = upload(device, 'weight', [5, 3, 3, 3], new Float32Array(135), new Float32Array(135));
  const y = conv2d(tape, x, weight, { stride: 2, padding: 1 });
  tape.backward(y, y);
  assert.is(statsOf(plan).macs, 3 * (2 * 5 * 4 * 4 * 3 * 9));
});

const refused: [string, number[], number[], object, RegExp][] = [
  ['a flat input', [4, 8], [2, 4, 3, 3], {}, /conv2d: expected x \(N, I, H, W\), got \(4, 8\)/],
  [
    'other input channels',
    [1, 4, 8, 8],
    [2, 3, 3, 3],
    {},
    /conv2d: expected weight \(O, 4, k, k\), got \(2, 3, 3, 3\)/,
  ],
  ['an oblong kernel', [1, 4, 8, 8], [2, 4, 3, 5], {}, /conv2d: expected weight \(O, 4, k, k\), got \(2, 4, 3, 5\)/],
  ['a flat weight', [1, 4, 8, 8], [2, 4], {}, /conv2d: expected weight \(O, 4, k, k\), got \(2, 4\)/],
  ['a kernel larger than the map', [1, 1, 2, 9], [1, 1, 3, 3], {}, /conv2d: expected a padded map of at least 3x3/],
  ['stride 0', [1, 1, 5, 5], [1, 1, 3, 3], { stride: 0 }, /conv2d: expected a whole stride of at least 1, got 0/],
  [
    'half a pixel of padding',
    [1, 1, 5, 5],
    [1, 1, 3, 3],
    { padding: 0.5 },
    /conv2d: expected a whole padding of at least 0, got 0.5/,
  ],
];
for (const [what, xShape, weightShape, options, message] of refused) {
  test(`${what} is refused by name`, () => {
    const make = (label: string, shape: number[]) =>
      upload(device, label, shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
    assert.throws(
      () => conv2d(new Tape(new Plan(device)), make('x', xShape), make('weight', weightShape), options),
      message,
    );
  });
}

test.run();
