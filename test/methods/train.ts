// Every method that carries something from step to step, or learns from another encoder, as a run of the trainer.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { backbone } from '../../src/config/encoders.js';
import { parseConfig, type TrainConfig } from '../../src/config/settings.js';
import type { Tensors } from '../../src/core/state.js';
import { runCost } from '../../src/cost/run.js';
import type { ImageSource } from '../../src/data/source.js';
import { ConfigError, DataError } from '../../src/errors.js';
import { ImageEncoder } from '../../src/inference/image_encoder.js';
import type { Device } from '../../src/runtime/device.js';
import { tune } from '../../src/runtime/tuner.js';
import type { StepMetrics } from '../../src/train/trainer.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { initialState, openTrainer } from '../made_up.js';
import { ofRun } from '../of_run.js';
import { generator, seed } from '../random.js';
import { rejects } from '../rejects.js';
import { trained } from '../train/trained.js';

let device: Device;
let teacher: ImageEncoder;
test.before(async () => {
  device = await openTestDevice();
  // untrained features are all alike, of which there is nothing to learn
  const config = parseConfig({ ...small, width: 0.375, method: 'xd', seed: seed % 1000 });
  const state = await trained(device, generator(), backbone({ ...config, ratio: 1 }), config.imageSize);
  teacher = new ImageEncoder(device, ofRun(config, state));
});
test.after(() => device.dispose());

/** Images of stripes, their direction and width by number. */
function images(length: number): ImageSource {
  const load = async (item: number) => {
    const random = generator(seed + item);
    const [kx, ky] = [0.2 + 0.13 * (item % 5), 0.1 + 0.17 * (item % 7)];
    const pixels = Uint8Array.from({ length: 16 * 16 * 4 }, (_, i) => {
      const [x, y] = [(i >> 2) % 16, i >> 6];
      return i % 4 === 3 ? 255 : 128 + 100 * Math.sin(kx * x + ky * y + (i % 4)) + 20 * random();
    });
    return { width: 16, height: 16, pixels };
  };
  return { name: 'stripes', length, images: 1, load };
}

const small = {
  data: 'made up',
  imageSize: 16,
  width: 0.25,
  stemStride: 1,
  blocks: '64/2 128/1',
  projector: 32,
  batch: 16,
  steps: 5,
  optimizer: 'sgd',
  lr: 0.05,
  warmup: 0,
};

const methods = [
  { method: 'moco_v2', queue: 40 },
  { method: 'byol' },
  { method: 'ssl_small', queue: 40 },
  { method: 'seed', queue: 40, teacher: 'made up', lr: 0.5 },
  { method: 'disco', queue: 40, teacher: 'made up', lr: 0.01 },
  { method: 'rekd', queue: 40 },
  { method: 'oss', prototypes: 20 },
];

const open = (config: TrainConfig, source: ImageSource, variants?: Record<string, string>) =>
  openTrainer(device, config, source, { ...(config.teacher && { teacher }), ...(variants && { variants }) });

function assertEqual(a: Tensors, b: Tensors, what: string): void {
  assert.equal([...a.keys()], [...b.keys()], what);
  const bits = (tensors: Tensors, name: string) => new Uint32Array(tensors.get(name)?.data.slice().buffer ?? []);
  for (const name of a.keys()) assert.equal(bits(a, name), bits(b, name), `${what}: ${name} (seed ${seed})`);
}

/** What distils by many times the contrast falls from the first step. */
const falling = ['disco'];
/**
 * Steps after which a queue of 40 holds no random row any more, from which all images are easily told apart. SEED learns before that:
 * the features of its small teacher are then all alike.
 */
const filled = 4;

/** Views without chance: with one batch an epoch, every step sees the same. */
const still = { cropMin: 1, flip: 0, jitter: 0, gray: 0, solarizeB: 0 };

for (const settings of methods)
  test(`${settings.method}: steps change every weight, lower the loss, log finite figures, and leave the teacher alone`, async () => {
    const config = parseConfig({ ...small, ...still, ...settings, steps: 24, seed });
    const taught = await teacher.parameters.read();
    const trainer = await open(config, images(config.batch));
    const before = await trainer.save();
    const logs: StepMetrics[] = [];
    while (trainer.step < trainer.steps) logs.push(await trainer.train());
    for (const log of logs)
      for (const [name, value] of Object.entries(log))
        assert.ok(Number.isFinite(value), `${name} is ${value} (seed ${seed})`);
    const after = await trainer.save();
    const values = (tensors: Tensors, name: string) => tensors.get(name)?.data as Float32Array;
    for (const name of trainer.network.parameters.names)
      assert.ok(
        values(after, name).some((value, i) => value !== values(before, name)[i]),
        `${name} has moved (seed ${seed})`,
      );
    const mean = (some: StepMetrics[]) => some.reduce((sum, { loss }) => sum + loss, 0) / some.length;
    if (config.method === 'seed') {
      const still = await open(parseConfig({ ...config, lr: 0 }), images(config.batch));
      const without: StepMetrics[] = [];
      while (still.step < filled) without.push(await still.train());
      still.dispose();
      const [learned, first] = [logs, without].map((some) => mean(some.slice(1, filled)));
      assert.ok(learned < first - 0.05, `the loss is lower than at rate 0: ${learned}, ${first} (seed ${seed})`);
    } else {
      const from = falling.includes(config.method) ? 0 : filled;
      const [early, late] = [mean(logs.slice(from, from + 3)), mean(logs.slice(-3))];
      assert.ok(late < early, `the loss falls: ${logs.map(({ loss }) => loss)} (seed ${seed})`);
    }
    assert.ok(logs.at(-1)?.['effectiveRank.features'], 'collapse is watched');
    assertEqual(await teacher.parameters.read(), taught, 'teacher');
    trainer.dispose();
  });

for (const settings of methods)
  test(`${settings.method}: a run resumed from saved tensors ends bit for bit as one never stopped`, async () => {
    const config = parseConfig({ ...small, ...settings, steps: 4, seed });
    const source = images(40);
    const whole = await open(config, source);
    const saved: Tensors[] = [];
    const log: StepMetrics[] = [];
    while (whole.step < whole.steps) {
      saved.push(await whole.save());
      log.push(await whole.train());
    }
    const end = await whole.save();
    const resumed = await open(config, source, whole.choices);
    await resumed.load(2, saved[2]);
    const tail: StepMetrics[] = [];
    while (resumed.step < resumed.steps) tail.push(await resumed.train());
    assert.equal(tail, log.slice(2), 'log from step 2');
    assertEqual(await resumed.save(), end, 'from step 2');
    whole.dispose();
    resumed.dispose();
  });

for (const settings of methods.filter(({ method }) => ['moco_v2', 'byol', 'ssl_small'].includes(method)))
  test(`${settings.method}: the average follows the weights, by the momentum of the step`, async () => {
    const config = parseConfig({ ...small, ...settings, steps: 4, seed });
    const trainer = await open(config, images(40));
    const values = (tensors: Tensors, name: string) => tensors.get(name)?.data as Float32Array;
    while (trainer.step < trainer.steps) {
      const { step } = trainer;
      const rising = 1 - ((1 - config.ema) * (1 + Math.cos((Math.PI * step) / 4))) / 2;
      const m = Math.fround(config.method === 'byol' ? rising : config.ema);
      const before = await trainer.save();
      await trainer.train();
      const after = await trainer.save();
      for (const name of trainer.network.parameters.names) {
        const weights = values(after, name);
        const average = values(before, `average.${name}`).map((old, i) => m * old + (1 - m) * weights[i]);
        close(values(after, `average.${name}`), average, `step ${step}: average of ${name}`, 3e-7);
      }
    }
    trainer.dispose();
  });

for (const settings of methods)
  test(`${settings.method}: both exported encoders open, the host as wide as it was trained`, async () => {
    const config = parseConfig({ ...small, ...settings, seed });
    const trainer = await open(config, images(40));
    const widths = { slim: 32, host: config.ratio === 1 ? 32 : 48 };
    for (const part of ['slim', 'host'] as const) {
      const state = await trainer.encoderState(part);
      assertEqual(state, await initialState(device, config, part), `${part}, as the seed makes it`);
      using encoder = new ImageEncoder(device, ofRun(config, state, config.ratio === 1 ? 'slim' : part));
      assert.is(encoder.features, widths[part]);
    }
    trainer.dispose();
  });

test('a tuned run is resumed with the kernels that it began with', async () => {
  const config = parseConfig({ ...small, method: 'ssl_small', queue: 40, steps: 3, seed });
  const source = images(40);
  // the tuner of a machine whose clock is moody: any choice may win, so only choices that are kept repeat the run
  const open = (variants?: Record<string, string>) =>
    openTrainer(device, config, source, { tune, ...(variants && { variants }) });
  const whole = await open();
  await whole.train();
  const [saved, choices] = [await whole.save(), whole.choices];
  while (whole.step < whole.steps) await whole.train();
  const resumed = await open(choices);
  assert.equal(resumed.choices, choices);
  await resumed.load(1, saved);
  while (resumed.step < resumed.steps) await resumed.train();
  assertEqual(await resumed.save(), await whole.save(), 'with the same choices');
  for (const trainer of [whole, resumed]) trainer.dispose();
});

test('a load that is refused leaves the run as it was', async () => {
  const config = parseConfig({ ...small, method: 'ssl_small', queue: 40, steps: 3, seed });
  const trainer = await open(config, images(40));
  for (let step = 0; step < 2; step++) await trainer.train();
  const before = await trainer.save();
  await rejects(() => trainer.load(1, new Map()), DataError, /missing/);
  const doubles = [...before].map(
    ([name, { shape, data }]) => [name, { shape, data: Float64Array.from(data) }] as const,
  );
  const wide = new Map(doubles) as unknown as Tensors;
  await rejects(() => trainer.load(1, wide), DataError, /is Float64Array \(.*\), expected F32 \(/);
  assertEqual(await trainer.save(), before, 'as before');
  trainer.dispose();
});

test('a checkpoint is refused where the teacher is another, and nothing of it is taken', async () => {
  const config = parseConfig({ ...small, method: 'seed', teacher: 'made up', queue: 40, seed });
  const source = images(40);
  const trainer = await open(config, source);
  await trainer.train();
  const saved = await trainer.save();
  const wide = parseConfig({ ...small, width: 0.375, method: 'xd', seed: (seed % 1000) + 1 });
  using other = new ImageEncoder(device, ofRun(wide, await initialState(device, wide, 'slim')));
  const resumed = await openTrainer(device, config, source, { teacher: other });
  const before = await resumed.save();
  await rejects(() => resumed.load(1, saved), DataError, /learns from another teacher; resume with the encoder/);
  const wider = parseConfig({ ...wide, width: 0.5 });
  using larger = new ImageEncoder(device, ofRun(wider, await initialState(device, wider, 'slim')));
  const fitted = await openTrainer(device, config, source, { teacher: larger });
  await rejects(() => fitted.load(1, saved), DataError, /learns from another teacher; .*--teacher/);
  fitted.dispose();
  assertEqual(await resumed.save(), before, 'as before');
  trainer.dispose();
  resumed.dispose();
});

test('a teacher of larger images is refused', async () => {
  const wide = parseConfig({ ...small, imageSize: 32, blocks: '64/2 128/2 128/2 128/2 128/2', method: 'xd', seed: 0 });
  using large = new ImageEncoder(device, ofRun(wide, await initialState(device, wide, 'slim')));
  const config = parseConfig({ ...small, method: 'seed', teacher: 'made up', queue: 40, seed });
  await rejects(
    () => openTrainer(device, config, images(40), { teacher: large }),
    ConfigError,
    /teacher \(--teacher\): expected images of at least 32 pixels, its encoder's stride, got 16/,
  );
});

test('methods that learn from a teacher say so where there is none', async () => {
  const config = parseConfig({ ...small, method: 'seed', teacher: 'made up', queue: 40, seed });
  await rejects(
    () => openTrainer(device, config, images(40)),
    ConfigError,
    /teacher \(--teacher\): expected a trained/,
  );
  assert.throws(
    () => runCost(config, 40),
    (error: Error) => error instanceof ConfigError && /teacher \(--teacher\): expected a trained/.test(error.message),
  );
});

test.run();
