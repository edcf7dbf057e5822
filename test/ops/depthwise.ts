import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { depthwise } from '../../src/ops/depthwise.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { statsOf } from '../../src/runtime/stats.js';
import { transient } from '../../src/tensor/tensor.js';
import { checkOp, chosen, close, type Kept, type OpCase, upload } from '../check.js';
import { openTestDevice, pretend } from '../device.js';
import { generator, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

interface Case {
  x: [N: number, C: number, H: number, W: number];
  K: number;
  host?: number;
  stride?: number;
  padding?: number;
}

/** All three passes in f64, one multiply-add at a time. */
function reference({ x: [N, C, H, W], K, stride = 1, padding = 0 }: Case): OpCase['reference'] {
  const OH = Math.floor((H + 2 * padding - K) / stride) + 1;
  const OW = Math.floor((W + 2 * padding - K) / stride) + 1;
  return ({ x, weight, dy }) => {
    const y = new Float64Array(N * C * OH * OW);
    const dx = new Float64Array(x.length);
    const dweight = new Float64Array(weight.length);
    for (let nc = 0; nc < N * C; nc++)
      for (let p = 0; p < OH; p++)
        for (let q = 0; q < OW; q++)
          for (let tap = 0; tap < K * K; tap++) {
            const h = p * stride + Math.floor(tap / K) - padding;
            const w = q * stride + (tap % K) - padding;
            if (h < 0 || w < 0 || h >= H || w >= W) continue;
            const j = (nc % C) * K * K + tap;
            const from = (nc * H + h) * W + w;
            const to = (nc * OH + p) * OW + q;
            y[to] += x[from] * weight[j];
            dx[from] += dy[to] * weight[j];
            dweight[j] += dy[to] * x[from];
          }
    return { y, dx, dweight };
  };
}

function opCase(shape: Case, kept?: Kept): OpCase {
  const { x, K, host = x[1], stride, padding } = shape;
  return {
    inputs: { x },
    weights: { weight: { host: [host, 1, K, K], slim: [x[1], 1, K, K], ...(kept && { kept }) } },
    run: (tape, { x, weight }) => depthwise(tape, x, weight, { stride, padding }),
    reference: reference(shape),
  };
}

/** Checks a case in every form that each pass has for its shape, in f64 and against the plain form. */
async function checkForms(shape: Case, on = device, kept?: Kept): Promise<void> {
  const {
    x: [, , , W],
    K,
    stride = 1,
    padding = 0,
  } = shape;
  const tiles = Math.ceil(W / 4);
  const shuffles = stride === 1 && padding === 1 && Number.isInteger(Math.log2(tiles)) && tiles <= on.subgroupSize;
  const strip = (K === 3 || K === 5) && stride <= 2;
  const strips = {
    'depthwise.forward': strip,
    'depthwise.backward_input': strip && (stride === 1 ? padding < K : padding === (K - 1) / 2),
    'depthwise.backward_weight': strip,
  };
  const forms: Record<string, string[]> = {};
  for (const [key, strip] of Object.entries(strips)) forms[key] = strip ? ['row', 'strip'] : ['row'];
  if (K === 3 && shuffles) for (const all of Object.values(forms)) all.push('shuffle');
  const variants = (at: number) =>
    Object.fromEntries(Object.entries(forms).map(([key, all]) => [key, at < 0 ? 'plain' : (all[at] ?? all[0])]));
  const plain = await checkOp(on, 'depthwise plain', { ...opCase(shape, kept), variants: variants(-1), seed });
  for (let at = 0; at < forms['depthwise.forward'].length; at++) {
    const name = `depthwise ${forms['depthwise.forward'][at]}`;
    const results = await checkOp(on, name, { ...opCase(shape, kept), variants: variants(at), seed });
    for (const [key, values] of Object.entries(plain))
      close(results[key], values, `${name}: ${key} (case seed ${seed})`);
  }
}

const cases: Record<string, Case> = {
  '3x3 on an odd map, slim': { x: [2, 5, 9, 7], K: 3, host: 8, padding: 1 },
  '3x3 without padding': { x: [2, 3, 8, 6], K: 3 },
  '3x3, padding 2': { x: [2, 3, 17, 19], K: 3, host: 5, padding: 2 },
  '3x3, padding 3: wider than the kernel reaches': { x: [1, 2, 5, 6], K: 3, padding: 3 },
  '3x3, stride 2, odd map': { x: [3, 5, 9, 7], K: 3, host: 6, stride: 2, padding: 1 },
  '3x3, stride 2, even map': { x: [2, 4, 20, 34], K: 3, stride: 2, padding: 1 },
  '3x3, stride 2 without padding': { x: [2, 3, 8, 7], K: 3, stride: 2 },
  '3x3, stride 3': { x: [2, 3, 10, 11], K: 3, stride: 3, padding: 1 },
  '5x5, slim': { x: [2, 6, 9, 11], K: 5, host: 9, padding: 2 },
  '5x5 without padding': { x: [2, 3, 8, 7], K: 5 },
  '5x5, padding 4, strips of several lengths': { x: [1, 2, 40, 6], K: 5, padding: 4 },
  '5x5, stride 2 without padding': { x: [2, 3, 10, 13], K: 5, stride: 2 },
  '5x5, stride 2, padding 4, strips of several lengths': { x: [1, 2, 80, 10], K: 5, stride: 2, padding: 4 },
  '5x5, stride 2, even map, strips of several lengths': { x: [2, 3, 70, 36], K: 5, host: 4, stride: 2, padding: 2 },
  '1x1 maps, 5x5, stride 2': { x: [19, 3, 1, 1], K: 5, stride: 2, padding: 2 },
  '5x5, stride 2': { x: [2, 4, 12, 9], K: 5, stride: 2, padding: 2 },
  '7x7': { x: [1, 3, 8, 9], K: 7, padding: 3 },
  '7x7, stride 2': { x: [2, 3, 12, 13], K: 7, stride: 2, padding: 3 },
  '9x9: more taps a row than one part holds': { x: [1, 2, 17, 14], K: 9, padding: 4 },
  '2x2, stride 2': { x: [2, 7, 6, 5], K: 2, stride: 2 },
  '4x4, stride 3': { x: [2, 3, 9, 10], K: 4, stride: 3, padding: 2 },
  '2x2, stride 3: gaps between the windows': { x: [1, 2, 9, 9], K: 2, stride: 3, padding: 1 },
  '1x1': { x: [2, 3, 5, 6], K: 1, host: 4 },
  '3x3 on maps of two tiles a row': { x: [3, 5, 6, 8], K: 3, host: 6, padding: 1 },
  '3x3 on maps of four tiles a row, the last one short': { x: [2, 3, 40, 15], K: 3, padding: 1 },
  '3x3 on maps of eight tiles a row': { x: [2, 2, 35, 32], K: 3, padding: 1 },
  '7x7 maps': { x: [5, 12, 7, 7], K: 3, host: 18, padding: 1 },
  '5x5 on 7x7 maps': { x: [5, 12, 7, 7], K: 5, host: 18, padding: 2 },
  '5x5 on 14x14 maps': { x: [3, 7, 14, 14], K: 5, host: 10, padding: 2 },
  '5x5, stride 2, 14x14 maps': { x: [3, 7, 14, 14], K: 5, host: 10, stride: 2, padding: 2 },
  '5x5, stride 2, 56x56 maps': { x: [1, 3, 56, 56], K: 5, host: 5, stride: 2, padding: 2 },
  '3x3, stride 2, 112x112 maps': { x: [1, 3, 112, 112], K: 3, host: 5, stride: 2, padding: 1 },
  '3x3 on 112x112 maps': { x: [1, 3, 112, 112], K: 3, host: 5, padding: 1 },
  '3x3 on 14x14 maps': { x: [3, 7, 14, 14], K: 3, host: 10, padding: 1 },
  '3x3, stride 2, 14x14 maps': { x: [3, 7, 14, 14], K: 3, host: 10, stride: 2, padding: 1 },
  '4x4 maps of many images': { x: [33, 6, 4, 4], K: 3, host: 8, padding: 1 },
  '2x2 maps of many images': { x: [65, 5, 2, 2], K: 3, host: 7, padding: 1 },
  '1x1 maps, stride 2': { x: [19, 3, 1, 1], K: 3, stride: 2, padding: 1 },
  'a few channels, several splits': { x: [48, 2, 16, 16], K: 3, host: 3, padding: 1 },
  'a few channels, several splits, stride 2': { x: [48, 2, 32, 16], K: 3, stride: 2, padding: 1 },
};

for (const [name, shape] of Object.entries(cases)) {
  test(`${name}: every form agrees with f64 and with the plain form`, async () => {
    await checkForms(shape);
  });
}

const random = generator();
for (const [name, shape] of Object.entries(cases)) {
  test(`${name}, kept by a list: every form agrees with f64 and with the plain form`, async () => {
    const [, C] = shape.x;
    const host = shape.host ?? C + 4;
    await checkForms({ ...shape, host }, device, [chosen(random, host, C)]);
  });
}

for (const name of [
  '3x3 on an odd map, slim',
  '3x3 on maps of two tiles a row',
  '3x3, stride 2, even map',
  '5x5, slim',
  '5x5, stride 2, even map, strips of several lengths',
]) {
  test(`${name}: with the workgroups and strips of a hardware adapter`, async () => {
    await checkForms(cases[name], pretend(device, { software: false }));
  });
}

const folded: Case[] = [
  { x: [4, 8, 9, 8], K: 3, padding: 1 },
  { x: [64, 8, 1, 1], K: 3, padding: 1 },
  { x: [64, 8, 1, 1], K: 3, stride: 2, padding: 1 },
  { x: [4, 8, 9, 8], K: 5, stride: 2, padding: 2 },
];
for (const shape of folded) {
  test(`workgroups may be folded over two dimensions: ${JSON.stringify(shape)}`, async () => {
    await checkForms(shape, pretend(device, { limits: { maxComputeWorkgroupsPerDimension: 7 } }));
  });
}

test('lanes shuffle where a row’s tiles fit both a subgroup and a workgroup', () => {
  const shuffling = (W: number, subgroupSize: number, software: boolean) => {
    const plan = new Plan(pretend(device, { subgroupSize, software }));
    const tape = new Tape(plan);
    const x = tape.requireGrad(transient(plan, 'x', [1, 2, 4, W]));
    const weight = { ...transient(plan, 'weight', [2, 1, 3, 3]), grad: transient(plan, 'dweight', [2, 1, 3, 3]) };
    tape.backward(depthwise(tape, x, weight, { padding: 1 }), transient(plan, 'dy', x.shape));
    const having = plan.choices.filter(({ variants: candidates }) => candidates.some(({ name }) => name === 'shuffle'));
    return having.map(({ key }) => key.split('.')[1]).toSorted();
  };
  const [ofInput, all] = [
    ['backward_input', 'forward'],
    ['backward_input', 'backward_weight', 'forward'],
  ];
  assert.equal(shuffling(32, 8, true), all);
  assert.equal(shuffling(64, 8, true), [], 'more tiles than lanes');
  assert.equal(shuffling(32, 16, true), all);
  assert.equal(shuffling(64, 16, true), ofInput, 'more tiles than the 8 threads that sum up a weight');
  assert.equal(shuffling(64, 16, false), all);
  assert.equal(shuffling(256, 128, false), all);
  assert.equal(shuffling(512, 128, false), [], 'more tiles than threads');
});

test('no gradient is computed for an input that needs none', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = upload(device, 'x', [1, 2, 4, 4], new Float32Array(32));
  const weight = upload(device, 'weight', [2, 1, 3, 3], new Float32Array(18), new Float32Array(18));
  const y = depthwise(tape, x, weight, { padding: 1 });
  tape.backward(y, y);
  const labels = plan.dispatches.map(({ label }) => label);
  assert.is(labels.length, 3);
  assert.ok(labels[0].endsWith('.forward_strip'));
  assert.ok(labels[1].endsWith('.backward_weight_strip'));
  assert.ok(labels[2].endsWith('.backward_weight_sum'));
});

test('every multiply-add is declared once a pass', () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = tape.requireGrad(upload(device, 'x', [2, 3, 8, 8], new Float32Array(384)));
  const weight = upload(device, 'weight', [3, 1, 3, 3], new Float32Array(27), new Float32Array(27));
  const y = depthwise(tape, x, weight, { stride: 2, padding: 1 });
  tape.backward(y, y);
  assert.is(statsOf(plan).macs, 3 * (2 * 3 * 4 * 4 * 9));
});

const refused: [string, number[], number[], object, RegExp][] = [
  ['a flat input', [4, 8], [4, 1, 3, 3], {}, /depthwise: expected x \(N, C, H, W\), got \(4, 8\)/],
  ['other channels', [1, 8, 9, 9], [4, 1, 3, 3], {}, /depthwise: expected weight \(8, 1, k, k\), got \(4, 1, 3, 3\)/],
  ['a full kernel', [1, 4, 8, 8], [4, 4, 3, 3], {}, /depthwise: expected weight \(4, 1, k, k\), got \(4, 4, 3, 3\)/],
  ['an oblong kernel', [1, 4, 8, 8], [4, 1, 3, 5], {}, /depthwise: expected weight \(4, 1, k, k\), got \(4, 1, 3, 5\)/],
  ['a kernel larger than the map', [1, 1, 2, 9], [1, 1, 3, 3], {}, /depthwise: expected a padded map of at least 3x3/],
  ['stride 0', [1, 1, 5, 5], [1, 1, 3, 3], { stride: 0 }, /depthwise: expected a whole stride of at least 1, got 0/],
  [
    'negative padding',
    [1, 1, 5, 5],
    [1, 1, 3, 3],
    { padding: -1 },
    /depthwise: expected a whole padding of at least 0, got -1/,
  ],
];
for (const [what, xShape, weightShape, options, message] of refused) {
  test(`${what} is refused by name`, () => {
    const make = (label: string, shape: number[]) =>
      upload(device, label, shape, new Float32Array(shape.reduce((a, b) => a * b, 1)));
    assert.throws(
      () => depthwise(new Tape(new Plan(device)), make('x', xShape), make('weight', weightShape), options),
      message,
    );
  });
}

test.run();
