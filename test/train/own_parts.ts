// A trainer of a method and an encoder that are a program's own: its options, its loop, and its checkpoints.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters } from '../../src/core/parameters.js';
import { mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { ConfigError, DataError } from '../../src/errors.js';
import type { Method } from '../../src/methods/method.js';
import { saclXd } from '../../src/methods/sacl_xd.js';
import { seed as seedMethod } from '../../src/methods/seed.js';
import { defaultViews } from '../../src/ops/augment.js';
import { adamw } from '../../src/optim/adamw.js';
import { lars } from '../../src/optim/lars.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { tune } from '../../src/runtime/tuner.js';
import { initialState } from '../../src/train/initial_state.js';
import type { TrainerOptions } from '../../src/train/options.js';
import { type StepMetrics, Trainer } from '../../src/train/trainer.js';
import { openTestDevice } from '../device.js';
import { assertEqual, images } from '../made_up.js';
import { options, ownEncoder, ownMethod } from '../own_method.js';
import { generator, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const optimizers = { sgd, adamw, lars } as const;

test('a method of an encoder is all that a trainer asks for', async () => {
  const encoder = mobilenetV1({ width: 0.25, ratio: 1.5, stemStride: 1, blocks: [[64, 2]] });
  const trainer = await Trainer.open(device, saclXd(encoder), images(256), { steps: 20 });
  assert.equal(trainer.schedule, { steps: 20, stepsPerEpoch: 1, warmup: 2, peak: 0.3 });
  assert.equal(trainer.network.parameters.shapes.get('projector.6.weight'), [2048, 2048]);
  const { loss, sacl, xd, lr } = await trainer.train();
  assert.ok(Math.abs(loss / (0.95 * sacl + 0.05 * xd) - 1) < 1e-6, `${loss} of ${sacl} and ${xd}`);
  assert.is(lr, 3e-5);
  trainer.dispose();
});

test('a loop over a trainer does its steps, and goes on where it was left', async () => {
  const source = images(30);
  const [looped, stepped] = [
    await Trainer.open(device, ownMethod(), source, options),
    await Trainer.open(device, ownMethod(), source, options),
  ];
  const log: StepMetrics[] = [];
  for await (const metrics of looped) {
    log.push(metrics);
    if (metrics.step === 2) break;
  }
  assert.is(looped.step, 2);
  log.push(await looped.train());
  for await (const metrics of looped) log.push(metrics);
  for await (const _ of looped) assert.unreachable('all steps are done');
  const expected: StepMetrics[] = [];
  while (stepped.step < stepped.steps) expected.push(await stepped.train());
  assert.equal(log, expected);
  assertEqual(await looped.save(), await stepped.save(), `seed ${seed}`);
  looped.dispose();
  stepped.dispose();
});

for (const [name, optimizer] of Object.entries(optimizers))
  test(`a run of an own method that is killed and resumed ends bit for bit as one never stopped (${name})`, async () => {
    const source = images(30);
    const run = { ...options, lr: 0.2, optimizer } satisfies TrainerOptions;
    const whole = await Trainer.open(device, ownMethod(), source, run);
    const log: StepMetrics[] = [];
    for await (const metrics of whole) log.push(metrics);
    const end = await whole.save();
    assert.ok(end.has('keys') && end.has('average.head.0.weight'), 'queue and average are part of the run');
    const done = await whole.checkpoint();
    whole.dispose();

    const other = await openTestDevice(); // as another process has it
    const begun = await Trainer.open(other, ownMethod(), source, run);
    for await (const { step } of begun) if (step === 3) break;
    const bytes = await begun.checkpoint();
    begun.dispose();
    other.dispose();

    const resumed = await Trainer.open(device, ownMethod(), source, { ...run, resume: bytes });
    assert.is(resumed.step, 3);
    assert.equal(await resumed.checkpoint(), bytes, 'what was resumed is what was saved');
    const tail: StepMetrics[] = [];
    for await (const metrics of resumed) tail.push(metrics);
    assert.equal(tail, log.slice(3));
    assertEqual(await resumed.save(), end, `seed ${seed}`);
    resumed.dispose();

    const over = await Trainer.open(device, ownMethod(), source, { ...run, resume: done });
    assert.is(over.step, 6);
    assertEqual(await over.save(), end, 'a run that was done');
    over.dispose();
  });

test('a resumed run computes with the kernels that it was begun with', async () => {
  const source = images(30);
  const plain = await Trainer.open(device, ownMethod(), source, options);
  const several = plain.plan.choices.find(({ variants: candidates }) => candidates.length > 1);
  assert.ok(several, 'a kernel has several variants');
  const { id, variants: candidates, chosen } = several;
  const variant = (candidates.find(({ name }) => name !== chosen.name) as { name: string }).name;
  const begun = await Trainer.open(device, ownMethod(), source, { ...options, variants: { [id]: variant } });
  await begun.train();
  const resume = await begun.checkpoint();
  const resumed = await Trainer.open(device, ownMethod(), source, { ...options, tune, resume });
  assert.equal(resumed.choices, begun.choices);
  assert.is(resumed.choices[id], variant);
  for (const trainer of [plain, begun, resumed]) trainer.dispose();
});

test('a run that kept batchnorm outputs goes on bit for bit where they are made again', async () => {
  const source = images(30);
  const trainer = await Trainer.open(device, ownMethod(), source, options);
  await trainer.train();
  const resume = await trainer.checkpoint();
  const resumed = await Trainer.open(device, ownMethod(), source, { ...options, recompute: true, resume });
  for (let step = 1; step < 4; step++) assert.equal(await resumed.train(), await trainer.train(), `step ${step}`);
  assertEqual(await resumed.save(), await trainer.save(), `seed ${seed}`);
  trainer.dispose();
  resumed.dispose();
  const own = { ...options, recompute: true, resume };
  await rejects(
    () => Trainer.open(device, ownMethod({ temperature: 0.31 }), source, own),
    DataError,
    /something else in: loss; open/,
  );
});

test('a run that learns from a teacher is resumed by the one that it began with', async () => {
  const source = images(30);
  const taught = (seeded: number) => {
    const parameters = new Parameters(device, teacherEncoder.parameters, teacherEncoder.statistics, { bn: 'shared' });
    parameters.initialize(generator(seeded));
    return { backbone: teacherEncoder, parameters };
  };
  const teacherEncoder = ownEncoder(2);
  const [teacher, other] = [taught(seed), taught(seed + 1)];
  const method = (from = teacher) => seedMethod(ownEncoder(), { teacher: from, queue: 40 });
  const run = { ...options, steps: 3 };
  const whole = await Trainer.open(device, method(), source, run);
  await whole.train();
  const resume = await whole.checkpoint();
  while (whole.step < whole.steps) await whole.train();
  const end = await whole.save();
  whole.dispose();
  const resumed = await Trainer.open(device, method(), source, { ...run, resume });
  assert.is(resumed.step, 1);
  for await (const _ of resumed);
  assertEqual(await resumed.save(), end, `seed ${seed}`);
  resumed.dispose();
  const again = { ...run, resume };
  await rejects(() => Trainer.open(device, method(other), source, again), DataError, /learns from another teacher/);
  for (const { parameters } of [teacher, other]) parameters.dispose();
});

test('bytes of another run are refused, and say what differs', async () => {
  const source = images(30);
  const trainer = await Trainer.open(device, ownMethod(), source, options);
  await trainer.train();
  const resume = await trainer.checkpoint();
  trainer.dispose();
  const before = device.allocated;
  const [a, b] = defaultViews(16);
  const refused = async (
    message: RegExp,
    { method = ownMethod(), items = 30, ...more }: TrainerOptions & { method?: Method; items?: number },
  ) => {
    const given = { ...options, resume, ...more };
    await rejects(() => Trainer.open(device, method, images(items), given), DataError, message);
    assert.is(device.allocated, before, 'all is given back');
  };
  await refused(/^checkpoint: the run is another: batch \(there 12, here 15\), peak/, { batch: 15 });
  await refused(/: number of images \(there 30, here 31\); open the trainer as it was/, { items: 31 });
  await refused(/: seed \(there \d+, here 1001\);/, { seed: 1001 });
  await refused(/: steps \(there 6, here 7\);/, { steps: 7 });
  await refused(/: warmup \(there 0, here 2\);/, { warmup: 2 });
  await refused(/: views\.1\.flip \(there 0\.5, here 0\.4\);/, { views: [a, { ...b, flip: 0.4 }] });
  // what method and optimizer are told is not known by name, but what becomes of it is
  await refused(
    /settings or slimgrad itself are others, .* something else in: loss, backward\/loss; open the trainer as it was/,
    {
      method: ownMethod({ temperature: 0.31 }),
    },
  );
  await refused(/something else in: \(none\), backward;/, { method: ownMethod({ weight: 3 }) });
  await refused(/something else in: optimizer;/, {
    lr: 0.3,
    optimizer: (plan, parameters) => lars(plan, parameters, { momentum: 0.8 }),
  });
  await refused(/something else in: .*encoder A/, { method: ownMethod({ width: 2 }) });
  await refused(/something else in: loss/, { method: ownMethod({ queue: 40 }) });
  await refused(/^checkpoint: not a usable safetensors file/, { resume: resume.subarray(0, 1000) });
});

test('of another adapter, a checkpoint is taken without its kernels, for they may not be there', async () => {
  const source = images(30);
  const trainer = await Trainer.open(device, ownMethod(), source, options);
  await trainer.train();
  const saved = await trainer.save();
  const text = new TextDecoder('latin1').decode(await trainer.checkpoint());
  const elsewhere = text.replace(/("adapter":")([^"])/, (_, key, first) => `${key}${first === '#' ? '*' : '#'}`);
  const resume = Uint8Array.from(elsewhere, (letter) => letter.charCodeAt(0));
  const resumed = await Trainer.open(device, ownMethod(), source, { ...options, resume });
  assertEqual(await resumed.save(), saved, `seed ${seed}`);
  await resumed.train();
  trainer.dispose();
  resumed.dispose();
});

test('options that are unknown or wrong are refused by name', async () => {
  const [a, b] = defaultViews(16);
  const before = device.allocated;
  const cases: [given: unknown, message: RegExp][] = [
    [{ bach: 12 }, /^Trainer: unknown option 'bach': did you mean 'batch'\?$/],
    [7, /^Trainer: expected options \{ batch, .* \}, got 7$/],
    [null, /^Trainer: expected options .*, got null$/],
    [{ batch: 1 }, /expected batch to be a whole number from 2 to 65536, got 1/],
    [{ batch: '12' }, /expected batch .*, got "12"/],
    [{ steps: 2.5 }, /expected steps .*, got 2\.5/],
    [{ epochs: 2, steps: 3 }, /expected epochs or steps, got 2 epochs and 3 steps; leave one out/],
    [{ steps: 3, warmup: 4 }, /at most the run's 3 steps, got 4/],
    [{ lr: Number.NaN }, /expected lr to be a number of at least 0/],
    [{ lr: 1e39 }, /expected lr/],
    [{ optimizer: sgd }, /expected lr beside an optimizer of your own, got none; give it to the trainer/],
    [{ optimizer: 'sgd', lr: 1 }, /expected optimizer to be a function .*, got "sgd"/],
    [{ imageSize: 4 }, /expected imageSize .* from 8 to 1024, got 4/],
    [{ views: [a] }, /expected views to be two augmentations/],
    [{ views: [a, b], imageSize: 32 }, /expected view A of imageSize 32, got one of 16/],
    [{ precision: 'f64' }, /expected precision to be f32 or f16, got "f64"/],
    [{ recompute: 1 }, /expected recompute to be true or false, got 1/],
    [{ seed: -1 }, /expected seed .*, got -1/],
    [{ sliceEvery: 10 }, /expected sliceEvery with a method of slice 'l1' alone, got 10/],
    [{ variants: 'fast' }, /expected variants/],
    [{ tune: true }, /expected tune .*, got true/],
    [{ onCompile: {} }, /expected onCompile to be a function/],
    [{ resume: 'step_100.safetensors' }, /expected resume to be the bytes of a checkpoint/],
    [{ batch: 31 }, /at most the 30 training images of "made up", got 31/],
  ];
  for (const [given, message] of cases) {
    const all = typeof given === 'object' && given ? { batch: 12, ...given } : given;
    await rejects(() => Trainer.open(device, ownMethod(), images(30), all as TrainerOptions), ConfigError, message);
  }
  for (const method of [undefined, 'moco_v2', {}, ownEncoder()])
    await rejects(() => Trainer.open(device, method as Method, images(30), options), ConfigError, /expected a method/);
  const deep = saclXd(mobilenetV1({ width: 0.25, stemStride: 2 }));
  await rejects(
    () => Trainer.open(device, deep, images(30), options),
    ConfigError,
    /imageSize of at least the encoder's stride, 32, got 16/,
  );
  assert.is(device.allocated, before);
});

test('what is left out as undefined is left out', async () => {
  const source = images(30);
  const undefinedAll = {
    lr: undefined,
    optimizer: undefined,
    views: undefined,
    precision: undefined,
    warmup: undefined,
  };
  const [left, given] = [options, { ...options, ...undefinedAll } as TrainerOptions];
  const [a, b] = [
    await Trainer.open(device, ownMethod(), source, left),
    await Trainer.open(device, ownMethod(), source, given),
  ];
  assert.equal(await a.train(), await b.train());
  a.dispose();
  b.dispose();
});

test('the first weights of a method are those of its seed', async () => {
  const trainer = await Trainer.open(device, ownMethod(), images(30), options);
  const state = await trainer.encoderState('slim');
  assertEqual(await initialState(device, ownMethod(), 'slim', options.seed), state, `seed ${seed}`);
  trainer.dispose();
});

test.run();
