import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config/settings.js';
import type { Tensors } from '../../src/core/state.js';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { ConfigError, DataError, DeviceError, DeviceLostError, OutOfMemoryError } from '../../src/errors.js';
import type { Device } from '../../src/runtime/device.js';
import { statsOf } from '../../src/runtime/stats.js';
import { tune } from '../../src/runtime/tuner.js';
import type { Trainer } from '../../src/train/trainer.js';
import { openTestDevice } from '../device.js';
import { assertEqual, images, openTrainer, small } from '../made_up.js';
import { seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const methods = ['sacl_xd', 'sacl', 'xd', 'barlow_twins'] as const;
const optimizers = ['sgd', 'adamw', 'lars'] as const;

/** Views without chance: with one batch an epoch, every step sees the same. Steps small enough to go down without a leap. */
const still = { cropMin: 1, flip: 0, jitter: 0, gray: 0, solarizeB: 0, lr: 0.01 };

/** Images so wide that no crop but the middle one has the share of the area that is asked for. */
function wide(source: ImageSource<RgbaImage>): ImageSource<RgbaImage> {
  const load: ImageSource<RgbaImage>['load'] = async (item, image) => {
    const { width, height, pixels } = await source.load(item, image);
    return {
      width: 3 * width,
      height,
      pixels: Uint8Array.from({ length: 3 * pixels.length }, (_, i) => pixels[i % pixels.length]),
    };
  };
  return { ...source, load };
}

for (const method of methods)
  test(`${method}: steps change every weight, lower the loss, and log finite figures`, async () => {
    const config = parseConfig({ ...small, ...still, method, steps: 20, seed });
    const trainer = await openTrainer(device, config, wide(images(config.batch)));
    const before = await trainer.save();
    const losses: number[] = [];
    while (trainer.step < trainer.steps) {
      const metrics = await trainer.train();
      for (const [name, value] of Object.entries(metrics))
        assert.ok(Number.isFinite(value), `${name} is ${value} (seed ${seed})`);
      losses.push(metrics.loss);
    }
    const after = await trainer.save();
    for (const name of trainer.network.parameters.names) {
      const start = before.get(name)?.data as Float32Array;
      const end = after.get(name)?.data as Float32Array;
      assert.ok(
        end.some((value, i) => value !== start[i]),
        `${name} has moved (seed ${seed})`,
      );
    }
    const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    assert.ok(mean(losses.slice(-3)) < mean(losses.slice(0, 3)), `the loss falls: ${losses} (seed ${seed})`);
    assert.is(await trainer.firstNonFinite(), undefined);
    trainer.dispose();
  });

test('embeddings and features are watched for collapse at the end of each epoch', async () => {
  const trainer = await openTrainer(device, parseConfig({ ...small, seed }), images(48));
  while (trainer.step < trainer.steps) {
    const watched = Object.keys(await trainer.train()).filter((name) => /^(std|effectiveRank)\./.test(name));
    assert.is(watched.length, trainer.step % 3 === 0 ? 8 : 0, `step ${trainer.step}`);
  }
  trainer.dispose();
});

for (const optimizer of optimizers)
  test(`a run resumed from saved tensors ends bit for bit as one never stopped (${optimizer})`, async () => {
    const config = parseConfig({ ...small, optimizer, seed });
    const source = images(40);
    const whole = await openTrainer(device, config, source);
    let middle: Tensors = new Map();
    const log: unknown[] = [];
    while (whole.step < whole.steps) {
      if (whole.step === 3) middle = await whole.save();
      log.push(await whole.train());
    }
    const resumed = await openTrainer(device, config, source, { variants: whole.choices });
    await resumed.load(3, middle);
    const tail: unknown[] = [];
    while (resumed.step < resumed.steps) tail.push(await resumed.train());
    assert.equal(tail, log.slice(3), 'log');
    assertEqual(await resumed.save(), await whole.save(), `seed ${seed}`);
    whole.dispose();
    resumed.dispose();
  });

test('a tuned run trains, and its choices alone repeat it bit for bit', async () => {
  const config = parseConfig({ ...small, seed });
  const source = images(40);
  let problems = 0;
  const tuned = await openTrainer(device, config, source, {
    tune: (plan) => tune(plan, { onTuned: () => problems++ }),
  });
  assert.ok(problems > 10 && problems <= Object.keys(tuned.choices).length, `${problems} problems`);
  const again = await openTrainer(device, config, source, { variants: tuned.choices });
  const logs = [tuned, again].map(async (trainer) => [await trainer.train(), await trainer.train()]);
  const [log, repeated] = await Promise.all(logs);
  assert.equal(repeated, log, 'log');
  assertEqual(await again.save(), await tuned.save(), `seed ${seed}`);
  tuned.dispose();
  again.dispose();
});

for (const method of methods)
  test(`${method}: made again or kept, the same bits, and less memory`, async () => {
    const source = images(40);
    const open = (recompute: boolean) =>
      openTrainer(device, parseConfig({ ...small, method, seed, recompute }), source);
    const [kept, remade] = [await open(false), await open(true)];
    for (let step = 0; step < 2; step++) assert.equal(await remade.train(), await kept.train(), `step ${step}`);
    assertEqual(await remade.save(), await kept.save(), `seed ${seed}`);
    const [most, least] = [kept, remade].map(({ plan }) => statsOf(plan).peakBytes);
    assert.ok(least < 0.9 * most, `${least} bytes live at once, ${most} where all is kept`);
    kept.dispose();
    remade.dispose();
  });

test('activations in f16: the first step of f32 but for rounding, a loss that falls, and less memory', async () => {
  const source = images(40);
  const config = { ...small, ...still, seed, steps: 20, batch: 40 };
  const open = (precision: string) => openTrainer(device, parseConfig({ ...config, precision }), source);
  if (!device.features.has('shader-f16')) {
    await rejects(() => open('f16'), DeviceError, /has no shader-f16; use precision f32/);
    return;
  }
  const [full, half] = [await open('f32'), await open('f16')];
  const weights = async ({ network: { parameters } }: Trainer) =>
    new Float32Array(await device.read(parameters.weights));
  const before = await weights(full);
  const losses = [(await half.train()).loss];
  // later steps drift apart, as they do from any other rounding: compare the first
  const { loss } = await full.train();
  assert.ok(Math.abs(losses[0] / loss - 1) < 5e-3, `loss ${losses[0]}, ${loss} in f32 (seed ${seed})`);
  const [a, b] = [await weights(half), await weights(full)].map((after) => after.map((w, i) => w - before[i]));
  const dot = (u: Float32Array, v: Float32Array) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  const cosine = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  assert.ok(cosine > 0.99, `the update's cosine with that of f32 is ${cosine} (seed ${seed})`);
  while (half.step < half.steps) losses.push((await half.train()).loss);
  assert.ok(
    losses.slice(-3).every((last) => last < losses[0]),
    `the loss falls: ${losses} (seed ${seed})`,
  );
  const [most, least] = [full, half].map(({ plan }) => statsOf(plan).peakBytes);
  assert.ok(least < 0.8 * most, `${least} bytes live at once, ${most} in f32`);
  full.dispose();
  half.dispose();
});

test('every dispatch of a step says how many bytes it moves, and if it is a product, how many multiply-adds', async () => {
  const trainer = await openTrainer(
    device,
    parseConfig({ ...small, ...{ blurA: 0.5, optimizer: 'lars' }, seed }),
    images(40),
  );
  const isProduct = (label: string) =>
    /^(conv2d|depthwise|pointwise|matmul)/.test(label) && !/(_sum|_partials)$/.test(label);
  const silent = trainer.plan.dispatches.filter(({ bytes }) => !(bytes > 0)).map(({ label }) => label);
  const wrong = trainer.plan.dispatches.filter(({ label, macs }) => macs > 0 !== isProduct(label));
  assert.equal([...new Set(silent)], [], 'dispatches without bytes');
  assert.equal(
    [...new Set(wrong.map(({ label }) => label))],
    [],
    'products without multiply-adds, or others with them',
  );
  trainer.dispose();
});

test('a steady step creates no buffer, bind group, pipeline, query set or staging buffer', async () => {
  const trainer = await openTrainer(device, parseConfig({ ...small, seed }), images(40));
  await trainer.train();
  const created: string[] = [];
  const { gpu } = device;
  const names = [
    'createBuffer',
    'createBindGroup',
    'createBindGroupLayout',
    'createComputePipeline',
    'createComputePipelineAsync',
    'createShaderModule',
    'createQuerySet',
  ] as const;
  const counted = gpu as unknown as Record<string, unknown>;
  for (const name of names) {
    const original = gpu[name].bind(gpu) as (...args: unknown[]) => unknown;
    counted[name] = (...args: unknown[]) => {
      created.push(name);
      return original(...args);
    };
  }
  try {
    await device.read(trainer.network.parameters.weights, 0, 16);
    assert.equal(created, ['createBuffer'], 'the count counts');
    created.length = 0;
    for (let i = 0; i < 3; i++) await trainer.train();
    assert.equal(created, []);
  } finally {
    for (const name of names) delete counted[name];
    trainer.dispose();
  }
});

test('disposing gives all memory back', async () => {
  const before = device.allocated;
  const trainer = await openTrainer(device, parseConfig({ ...small, seed }), images(40));
  await trainer.train();
  assert.ok(device.allocated > before);
  trainer.dispose();
  assert.is(device.allocated, before);
});

test('a trainer that was disposed of says so, and its device goes on', async () => {
  const config = parseConfig({ ...small, steps: 2, seed });
  const [gone, other] = [await openTrainer(device, config, images(40)), await openTrainer(device, config, images(40))];
  await gone.train();
  gone.dispose();
  gone.dispose();
  for (const use of [
    () => gone.train(),
    () => gone.save(),
    () => gone.load(0, new Map()),
    () => gone.encoderState('slim'),
    () => gone.correlation(),
    () => gone.firstNonFinite(),
    () => gone.recalibrate('slim', images(4)),
  ])
    await rejects(use, DeviceError, /: used after dispose\(\)$/);
  assert.is((await other.train()).step, 1);
  other.dispose();
});

test('one step at a time, and no more than there are', async () => {
  const trainer = await openTrainer(device, parseConfig({ ...small, steps: 2, seed }), images(40));
  const first = trainer.train();
  await rejects(() => trainer.train(), ConfigError, /^train: step 1 is pending; await it first/);
  await rejects(() => trainer.save(), ConfigError, /^save: step 1 is pending/);
  await rejects(() => trainer.load(0, new Map()), ConfigError, /^load: step 1 is pending/);
  await rejects(() => trainer.recalibrate('slim', images(4)), ConfigError, /^recalibrate: step 1 is pending/);
  // weights of one step and statistics of the next would be an encoder that never was
  await rejects(() => trainer.encoderState('slim'), ConfigError, /^encoderState: step 1 is pending/);
  await rejects(() => trainer.correlation(), ConfigError, /^correlation: step 1 is pending/);
  await rejects(() => trainer.firstNonFinite(), ConfigError, /^firstNonFinite: step 1 is pending/);
  assert.is((await first).step, 1);
  const reading = trainer.correlation();
  await rejects(() => trainer.correlation(), ConfigError, /^correlation: correlation\(\) is pending/);
  await rejects(() => trainer.train(), ConfigError, /^train: correlation\(\) is pending/);
  await reading;
  const saving = trainer.save();
  await rejects(() => trainer.train(), ConfigError, /^train: save\(\) is pending/);
  await saving;
  await trainer.train();
  await rejects(() => trainer.train(), ConfigError, /all 2 steps of the run are done/);
  const saved = await trainer.save();
  for (const step of [-1, 3, 1.5]) await rejects(() => trainer.load(step, saved), DataError, /a step from 0 to 2/);
  await trainer.load(1, saved);
  const last = trainer.train();
  trainer.dispose();
  await rejects(() => last, DeviceError, /disposed|failed|freed/);
  await rejects(() => trainer.save(), DeviceError, /^save: used after dispose\(\)/);
  await device.settled();
});

test("a device lost in the middle of a step, or of an epoch's end, fails that step alone", async () => {
  for (const steps of [1, 4]) {
    const own = await openTestDevice();
    const trainer = await openTrainer(own, parseConfig({ ...small, steps, seed }), images(40));
    const step = trainer.train();
    own.gpu.destroy();
    await rejects(() => step, DeviceLostError, /was lost/);
    await rejects(() => trainer.train(), DeviceLostError, /was lost/);
    trainer.dispose();
    own.dispose();
  }
});

test('weights or a tensor over the limits are refused with the numbers, and all is given back', async () => {
  const before = device.allocated;
  for (const [more, message] of [
    [{ projector: 65536 }, /^projector\.3\.weight: needs \d+ bytes .* allows \d+; use a smaller .*projector/],
    [
      { method: 'moco_v2', queue: 2 ** 20, embedding: 4096 },
      /^queue\S*: 1048576 embeddings of 4096 numbers are 17179869184 bytes, .* holds at most \d+; use a shorter queue/,
    ],
    [{ imageSize: 1024, batch: 32, width: 1 }, /needs \d+ bytes .* allows \d+; use a smaller batch/],
  ] as const) {
    const config = parseConfig({ ...small, ...more, seed });
    await rejects(() => openTrainer(device, config, images(40)), OutOfMemoryError, message);
    assert.is(device.allocated, before);
  }
});

test('a source smaller than a batch, and a checkpoint of another method, are refused', async () => {
  const config = parseConfig({ ...small, seed });
  try {
    await openTrainer(device, config, images(5));
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /5/);
  }
  const lone = await openTrainer(device, parseConfig({ ...small, method: 'xd', seed }), images(40));
  const trainer = await openTrainer(device, config, images(40));
  const before = await trainer.save();
  try {
    await trainer.load(1, await lone.save());
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /slim\.features\.0\.1\.running_mean/);
  }
  assertEqual(await trainer.save(), before, 'nothing of the foreign checkpoint was taken');
  lone.dispose();
  trainer.dispose();
});

test.run();
