// Slices by index lists: which channels are kept, what kernels make of them, and runs that select channels anew.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import { ChannelSelection } from '../../src/core/channel_selection.js';
import { parameter } from '../../src/core/parameters.js';
import type { Tensors } from '../../src/core/state.js';
import { Tape } from '../../src/core/tape.js';
import { ConfigError, DataError } from '../../src/errors.js';
import { ImageEncoder } from '../../src/inference/image_encoder.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { depthwise } from '../../src/ops/depthwise.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { tune } from '../../src/runtime/tuner.js';
import { numel, selectView, type Tensor } from '../../src/tensor/tensor.js';
import { chosen, close, upload, uploadList } from '../check.js';
import { openTestDevice } from '../device.js';
import { assertEqual, images, openTrainer, small } from '../made_up.js';
import { ofRun } from '../of_run.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();
const zero = () => 0;

test('each group keeps its k channels of the largest norm, summed over what makes them; of equal ones the lower', () => {
  const [colors, group, other] = [
    { host: 3, slim: 3 },
    { host: 5, slim: 2 },
    { host: 4, slim: 3 },
  ];
  const made = [
    { ...parameter('a.weight', [group, colors, 1, 1], zero), makesChannels: true },
    { ...parameter('b.weight', [group, other, 1, 1], zero), makesChannels: true },
    parameter('depthwise.weight', [group, 1, 3, 3], zero),
    { ...parameter('c.weight', [other, group, 1, 1], zero), makesChannels: true },
    parameter('d.weight', [7, group], zero),
  ];
  const before = device.allocated;
  const lists = new ChannelSelection(device, made);
  assert.equal([...lists.kept(group)], [0, 1]);
  assert.equal([...lists.kept(colors)], [0, 1, 2]);
  assert.is(lists.list(colors), undefined);
  const weights: Record<string, number[]> = {
    'a.weight': [1, -1, 1, 0, 0, 0, -4, 0, 0, 0, 1, 0, 2, 0, 0],
    'b.weight': [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, -2, 0, 1, 1, 0, 0],
    'c.weight': [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 2, 2, 1, 0, 0, -5, 0, 0, 0, 0],
  };
  const at = ({ name }: { name: string }) => Float32Array.from(weights[name]);
  // norms 4, 0, 4, 4, 4 and 5, 0, 5, 5
  assert.is(lists.select(at), 1 + 1);
  assert.equal([...lists.kept(group)], [0, 2]);
  assert.equal([...lists.kept(other)], [0, 2, 3]);
  assert.is(lists.select(at), 0);
  weights['a.weight'][3] = 9;
  weights['a.weight'][0] = Number.NaN;
  assert.is(lists.select(at), 1);
  assert.equal([...lists.kept(group)], [1, 2], 'what is no number counts least');
  assert.equal([...lists.read().keys()], ['kept.a', 'kept.c']);
  lists.dispose();
  assert.is(device.allocated, before);
  assert.throws(() => new ChannelSelection(device, made.slice(2, 3)), /^channel selection: .* no convolution produces/);
});

/** An op of a masked dense weight and of the slice that the mask keeps, on the same host-wide input. */
async function maskedAndSliced(K: number, isDepthwise: boolean): Promise<void> {
  const [N, I, O, side] = [3, isDepthwise ? 14 : 9, 14, 7];
  const [rows, columns] = [chosen(random, O, 6), isDepthwise ? undefined : chosen(random, I, 5)];
  const inputs = columns ?? rows;
  const shape = [O, isDepthwise ? 1 : I, K, K];
  const [plane, kernel] = [side * side, K * K];
  const data = randoms(random, numel(shape));
  const row = shape[1] * kernel;
  const isKept = (i: number) =>
    rows.includes(Math.floor(i / row)) && (!columns || columns.includes(Math.floor((i % row) / kernel)));
  const masked = data.map((w, i) => (isKept(i) ? w : 0));
  const x = randoms(random, N * I * plane);
  const dy = randoms(random, N * O * plane);
  const cut = (values: Float32Array, C: number, kept: readonly number[]) =>
    Float32Array.from({ length: N * kept.length * plane }, (_, i) => {
      const [n, c] = [Math.floor(i / (kept.length * plane)), Math.floor(i / plane) % kept.length];
      return values[(n * C + kept[c]) * plane + (i % plane)];
    });
  const plan = new Plan(device);
  const results = [
    { of: masked, x: upload(device, 'x', [N, I, side, side], x), dy: upload(device, 'dy', [N, O, side, side], dy) },
    {
      of: data,
      x: upload(device, 'x', [N, inputs.length, side, side], cut(x, I, inputs)),
      dy: upload(device, 'dy', [N, rows.length, side, side], cut(dy, O, rows)),
    },
  ].map(({ of, x, dy }, sliced) => {
    const tape = new Tape(plan);
    const host = upload(device, 'w', shape, of, new Float32Array(of.length));
    const lists = { rows: uploadList(device, rows), columns: columns && uploadList(device, columns) };
    const slim = [rows.length, columns?.length ?? 1, K, K];
    const y = (isDepthwise ? depthwise : conv2d)(
      tape,
      tape.requireGrad(x),
      sliced ? selectView(host, slim, lists) : host,
      {
        padding: (K - 1) / 2,
      },
    );
    tape.backward(y, dy);
    const dx = tape.gradient(x) as Tensor;
    for (const t of [y, dx]) plan.retain(t);
    return { y, dx, dw: host.grad as Tensor };
  });
  await plan.compile();
  plan.poison();
  plan.run();
  const [dense, slice] = await Promise.all(
    results.map(async ({ y, dx, dw }) => ({
      y: (await plan.read(y)).slice(0, numel(y.shape)),
      dx: (await plan.read(dx)).slice(0, numel(dx.shape)),
      dw: await plan.read(dw),
    })),
  );
  close(slice.y, cut(dense.y, O, rows), 'y');
  close(slice.dx, cut(dense.dx, I, inputs), 'dx');
  close(
    slice.dw,
    dense.dw.map((g, i) => (isKept(i) ? g : 0)),
    'dweight',
  );
  const dropped = dense.y.filter((_, i) => !rows.includes(Math.floor(i / plane) % O));
  assert.ok(
    dropped.every((y) => y === 0),
    'what the mask drops is 0',
  );
  plan.dispose();
}

for (const [name, K, isDepthwise] of [
  ['pointwise', 1, false],
  ['3x3', 3, false],
  ['5x5', 5, false],
  ['depthwise 3x3', 3, true],
  ['depthwise 5x5', 5, true],
] as const)
  test(`${name}: a slice by lists is the dense convolution by weight ⊙ mask`, () => maskedAndSliced(K, isDepthwise));

test('tuning finds every variant of a slice by lists right', async () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = tape.requireGrad(upload(device, 'x', [4, 9, 8, 8], randoms(random, 4 * 9 * 64)));
  const host = upload(device, 'w', [16, 12, 3, 3], randoms(random, 16 * 12 * 9), randoms(random, 16 * 12 * 9));
  const lists = {
    rows: uploadList(device, chosen(random, 16, 10)),
    columns: uploadList(device, chosen(random, 12, 9)),
  };
  const y = conv2d(tape, x, selectView(host, [10, 9, 3, 3], lists), { padding: 1 });
  tape.backward(y, upload(device, 'dy', y.shape, randoms(random, numel(y.shape))));
  const refused: string[] = [];
  let problems = 0;
  const onTuned = ({ trials }: { trials: readonly { variant: string; refused?: string }[] }) => {
    problems++;
    refused.push(...trials.flatMap((trial) => (trial.refused ? [`${trial.variant}: ${trial.refused}`] : [])));
  };
  await tune(plan, { onTuned });
  assert.is(problems, 3);
  assert.equal(refused, []);
  plan.dispose();
});

const listed = { ...small, slice: 'l1', sliceEvery: 2, sliceWarmup: 2, steps: 8, seed };
const lists = (state: Tensors) => [...state].filter(([name]) => name.startsWith('kept.'));

test('a run selects channels by its first weights, then anew where asked, and says how many changed', async () => {
  const trainer = await openTrainer(device, parseConfig({ ...listed, lr: 0.5 }), images(40));
  const told: [number, number][] = [];
  const moves: boolean[] = [];
  let before = lists(await trainer.save());
  assert.is(before.length, 4);
  assert.ok(
    before.some(([, { data }]) => data.some((c, i) => c !== i)),
    'the first weights choose, not the order',
  );
  while (trainer.step < trainer.steps) {
    const { step, channelsChanged } = await trainer.train();
    if (channelsChanged !== undefined) told.push([step, channelsChanged]);
    const after = lists(await trainer.save());
    const change = after.reduce(
      (sum, [, { data }], i) => sum + data.filter((c) => !before[i][1].data.includes(c)).length,
      0,
    );
    assert.is(change, channelsChanged ?? 0, `step ${step}`);
    moves.push(change > 0);
    before = after;
  }
  assert.equal(
    told.map(([step]) => step),
    [3, 5, 7],
    'before the third step, which is the first after the warm-up, and every second from there',
  );
  assert.ok(moves.some(Boolean), `channels change in the end (seed ${seed})`);
  trainer.dispose();
});

for (const [bn, from] of [
  ['split', 3],
  ['private', 4],
] as const)
  test(`a run resumed at step ${from}, before a selection, ends bit for bit as one never stopped (bn ${bn})`, async () => {
    const config = parseConfig({ ...listed, bn, lr: 0.5 });
    const source = images(40);
    const whole = await openTrainer(device, config, source);
    let middle: Tensors = new Map();
    const log: unknown[] = [];
    while (whole.step < whole.steps) {
      if (whole.step === from) middle = await whole.save();
      log.push(await whole.train());
    }
    const resumed = await openTrainer(device, config, source, { variants: whole.choices });
    await resumed.load(from, middle);
    const tail: unknown[] = [];
    while (resumed.step < resumed.steps) tail.push(await resumed.train());
    assert.equal(tail, log.slice(from), 'log');
    assertEqual(await resumed.save(), await whole.save(), `seed ${seed}`);
    whole.dispose();
    resumed.dispose();
  });

test('selecting creates no buffer and no bind group', async () => {
  const trainer = await openTrainer(device, parseConfig(listed), images(40));
  await trainer.train();
  const created: string[] = [];
  const counted = device.gpu as unknown as Record<string, unknown>;
  const names = ['createBuffer', 'createBindGroup', 'createComputePipelineAsync', 'createShaderModule'] as const;
  for (const name of names) {
    const original = device.gpu[name].bind(device.gpu) as (...args: unknown[]) => unknown;
    counted[name] = (...args: unknown[]) => {
      created.push(name);
      return original(...args);
    };
  }
  try {
    let selections = 0;
    for (let step = 1; step < 6; step++) if ((await trainer.train()).channelsChanged !== undefined) selections++;
    assert.is(selections, 2);
    assert.equal(created, []);
  } finally {
    for (const name of names) delete counted[name];
    trainer.dispose();
  }
});

test('lists that are none are refused, and nothing of their checkpoint is taken', async () => {
  const trainer = await openTrainer(device, parseConfig(listed), images(40));
  const saved = await trainer.save();
  await trainer.train();
  const before = await trainer.save();
  const [[name, { shape, data }]] = lists(saved);
  for (const bad of [data.map(() => 0), data.map((c) => c + 0.5), data.map((c) => c + 1000), data.toReversed()])
    await rejects(
      () => trainer.load(0, new Map([...saved, [name, { shape, data: bad }]])),
      DataError,
      /^kept\..*: expected \d+ rising numbers from 0 to \d+/,
    );
  assertEqual(await trainer.save(), before, 'nothing was taken');
  await trainer.load(0, saved);
  assertEqual(await trainer.save(), saved, 'what was saved');
  trainer.dispose();
});

for (const more of [{}, { bn: 'private' }, { recompute: true }] as const)
  test(`the slim encoder that is exported is a plain one: it embeds as the slice does (${JSON.stringify(more)})`, async () => {
    const config = parseConfig({ ...listed, ...more });
    const source = images(20);
    const trainer = await openTrainer(device, config, source);
    for (let step = 0; step < 5; step++) await trainer.train();
    const state = await trainer.encoderState('slim');
    const encoder = new ImageEncoder(device, ofRun(config, state));
    const { parameters } = trainer.network;
    const { module } = trainer.network.encoder('slim');
    const x = upload(device, 'x', [5, 3, 16, 16], randoms(random, 5 * 3 * 256));
    const plan = new Plan(device);
    const pass = { training: false, updateStats: false, tape: new Tape(plan, { noGrad: true }) };
    const inPlace = module.forward({ ...pass, parameters, width: 'slim' }, x);
    const plain = encoder.backbone.forward({ ...pass, parameters: encoder.parameters, width: 'host' }, x);
    for (const y of [inPlace, plain]) plan.retain(y);
    await plan.compile();
    plan.poison();
    plan.run();
    const size = numel(plain.shape);
    close((await plan.read(inPlace)).subarray(0, size), (await plan.read(plain)).subarray(0, size), 'features');
    for (const thing of [plan, encoder, trainer]) thing.dispose();
  });

test('settings of lists are refused where they mean nothing', () => {
  const refuse = (settings: object, pattern: RegExp) =>
    assert.throws(
      () => parseConfig({ data: 'emoji', ...settings }),
      (error: Error) => error instanceof ConfigError && pattern.test(error.message),
    );
  refuse({ method: 'xd', slice: 'l1' }, /^slice \(--slice\): only valid with method .*use --method sacl_xd/);
  refuse({ sliceEvery: 7 }, /^sliceEvery \(--slice-every\): only valid with slice \(--slice\) l1, got 7/);
  refuse({ sliceWarmup: 0 }, /^sliceWarmup \(--slice-warmup\): only valid with slice/);
  refuse({ slice: 'l1', sliceEvery: 0 }, /sliceEvery .* whole number of at least 1, got 0/);
  refuse({ slice: 'random' }, /slice \(--slice\): expected one of prefix, l1, got "random"/);
});

test.run();
