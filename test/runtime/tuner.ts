// Tuning: wrong candidates are refused, slow ones lose, and nothing but scratch memory is written.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { add } from '../../src/generated/add.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { l2Normalize } from '../../src/ops/l2_normalize.js';
import { pointwise } from '../../src/ops/pointwise.js';
import { sinkhorn } from '../../src/ops/sinkhorn.js';
import { softmax, softmaxCrossEntropy } from '../../src/ops/softmax.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { type Tuned, type TuningCache, tune } from '../../src/runtime/tuner.js';
import { memoryTuningCache } from '../../src/runtime/tuning_cache.js';
import { numel, type Tensor } from '../../src/tensor/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms } from '../random.js';

let device: Device;
const buffers: GPUBuffer[] = [];
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());
test.after.each(() => {
  for (const buffer of buffers.splice(0)) device.free(buffer);
});

const random = generator();

function make(label: string, shape: readonly number[], gradient = false): Tensor {
  const data = randoms(random, numel(shape), 0.4, 1);
  const made = upload(device, label, shape, data, gradient ? randoms(random, numel(shape)) : undefined);
  buffers.push(made.storage, ...(made.grad ? [made.grad.storage] : []));
  return made;
}

interface Plus {
  readonly name: string;
  /** Of the elements, how many it adds. */
  readonly part?: number;
  readonly times?: number;
  readonly kernel?: typeof add;
}

/** Candidates that add n elements, some of which do it otherwise. */
function plusPlan(n: number, candidates: readonly Plus[]) {
  const plan = new Plan(device);
  const [a, b, y] = [make('a', [n]), make('b', [n]), make('y', [n])];
  plan.choose('plus', candidates, ({ part = 1, times = 1, kernel = add }, plan) => {
    for (let i = 0; i < times; i++)
      plan.dispatch(kernel, 'forward', {
        params: { n: Math.floor(n * part) },
        bindings: { a, b, y },
        workgroups: Math.ceil(n / 256),
        bytes: 12 * n,
      });
  });
  return { plan, y };
}

/** The kernel of `add` with other code in one place. */
function altered(stem: string, from: string, to: string): typeof add {
  assert.is(add.code.split(from).length, 2, from);
  return { ...add, stem, code: add.code.replace(from, to) } as unknown as typeof add;
}

test('a candidate whose values are not the reference’s is refused, however fast', async () => {
  const { plan, y } = plusPlan(100_000, [{ name: 'half', part: 0.5 }, { name: 'whole' }]);
  const before = await device.read(y);
  const seen: Tuned[] = [];
  assert.equal(await tune(plan, { onTuned: (tuned) => seen.push(tuned) }), { 'plus 1': 'whole' });
  const [{ trials, standard, chosen, problem }] = seen;
  assert.equal([standard, chosen, problem], ['half', 'whole', 'plus ']);
  assert.match(trials[0].refused as string, /^differs from the reference by \d/);
  assert.is(trials[0].ms, undefined);
  assert.ok((trials[1].ms as number) > 0);
  assert.equal(await device.read(y), before, 'the plan’s own buffers are untouched');
  plan.dispose();
});

test('a candidate whose shader is refused is out; the others go on, and so does the device', async () => {
  const kernel = altered('broken', 'fn forward(', 'fn forward(broken: Broken, ');
  const { plan } = plusPlan(1000, [{ name: 'broken', kernel }, { name: 'whole' }]);
  const seen: Tuned[] = [];
  assert.equal(await tune(plan, { onTuned: (tuned) => seen.push(tuned) }), { 'plus 1': 'whole' });
  const [{ trials }] = seen;
  assert.match(trials[0].refused as string, /^broken\.forward does not compile/);
  assert.ok((trials[1].ms as number) > 0);
  plan.dispose();
  await device.settled();
  device.assertHealthy();
});

test('numbers that stand for variances, norms and sums of exponentials leave no candidate out', async () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const [N, K] = [6, 20];
  const channels = () => make('channels', [K], true);
  const norm = { gamma: channels(), beta: channels(), runningMean: make('mean', [K]), runningVar: make('var', [K]) };
  const x = tape.requireGrad(make('x', [N, K, 3, 3]));
  const y = batchnorm(tape, x, norm, { training: false });
  tape.backward(y, make('dy', [N, K, 3, 3]));
  const logits = tape.requireGrad(make('logits', [N, K]));
  const z = l2Normalize(tape, logits);
  const codes = sinkhorn(plan, logits);
  const classes = { ...make('classes', [N]), integer: 'i32' } as const;
  const targets = [undefined, classes, softmax(new Tape(plan, { noGrad: true }), logits, { temperature: 0.04 }), codes];
  for (const each of targets)
    tape.backward(softmaxCrossEntropy(tape, z, each, { temperature: 0.07 }), make('dloss', [1]));
  const seen = new Set<string>();
  await tune(plan, {
    onTuned: ({ problem, trials }) => {
      seen.add(problem.split(' ')[0]);
      for (const { variant, refused } of trials) assert.is(refused, undefined, `${problem}: ${variant} ${refused}`);
    },
  });
  for (const key of ['batchnorm.forward', 'softmax.mean_loss', 'softmax.backward_input_targets', 'sinkhorn.codes'])
    assert.ok(seen.has(key), `${key} among ${[...seen]}`);
  plan.dispose();
});

test('where the reference is not finite, that is said, and nothing is remembered', async () => {
  const kernel = altered('endless', 'vec4f(a[i]) +', 'exp(400.0 * vec4f(a[i])) +');
  const { plan } = plusPlan(1000, [{ name: 'whole' }, { name: 'endless', kernel }]);
  const seen: Tuned[] = [];
  const saved: object[] = [];
  const cache: TuningCache = {
    load: async () => ({}),
    save: async (_, winners) => {
      saved.push(winners);
    },
  };
  assert.equal(await tune(plan, { cache, onTuned: (tuned) => seen.push(tuned) }), { 'plus 1': 'whole' });
  for (const { refused, ms } of seen[0].trials) {
    assert.is(refused, 'is not judged: on made-up numbers the reference is not finite');
    assert.is(ms, undefined);
  }
  assert.equal(saved, [{}]);
  plan.dispose();
});

test('a faster candidate wins, a slower one does not', async () => {
  for (const order of [1, -1]) {
    const candidates = [{ name: 'often', times: 12 }, { name: 'once' }].toSorted(() => order);
    const { plan } = plusPlan(400_000, candidates);
    const seen: Tuned[] = [];
    assert.equal(await tune(plan, { onTuned: (tuned) => seen.push(tuned) }), { 'plus 1': 'once' });
    assert.is(seen[0].standard, candidates[0].name);
    plan.dispose();
  }
});

test('what one plan won is remembered for the next of the same sizes, and asked again for others', async () => {
  const cache = memoryTuningCache();
  const adapters = new Set<string>();
  const spy: TuningCache = {
    load: (adapter) => {
      adapters.add(adapter);
      return cache.load(adapter);
    },
    save: cache.save,
  };
  const trialsOf = async (n: number) => {
    const { plan } = plusPlan(n, [{ name: 'once' }, { name: 'twice', times: 2 }]);
    let trials = 0;
    await tune(plan, {
      cache: spy,
      onTuned: (tuned) => {
        trials += tuned.trials.length;
      },
    });
    plan.dispose();
    return trials;
  };
  assert.equal([await trialsOf(50_000), await trialsOf(50_000), await trialsOf(60_000)], [2, 0, 2]);
  assert.is(adapters.size, 1);
  const [adapter] = adapters;
  assert.ok(adapter.includes(device.name), adapter);
  const known = await cache.load(adapter);
  await cache.save(adapter, Object.fromEntries(Object.keys(known).map((key) => [key, 'gone'])));
  assert.is(await trialsOf(50_000), 2, 'a name that no candidate has is no answer');
});

test('tuned kernels compute what the default ones do, and tuning writes to no parameter', async () => {
  const [N, I, O, H] = [3, 5, 9, 6];
  const x = make('x', [N, I, H, H]);
  const weight = make('weight', [O, I], true);
  const [gamma, beta] = [make('gamma', [O], true), make('beta', [O], true)];
  const [runningMean, runningVar] = [make('mean', [O]), make('var', [O])];
  const dy = make('dy', [N, O, H, H]);
  const state = [weight, gamma, beta].flatMap((t) => [t, t.grad as Tensor]).concat([runningMean, runningVar]);
  const contents = () => Promise.all(state.map((each) => device.read(each)));
  const record = (variants?: Record<string, string>) => {
    const plan = new Plan(device, variants && { variants });
    const tape = new Tape(plan);
    const h = pointwise(tape, tape.requireGrad(x), weight);
    const y = batchnorm(tape, h, { gamma, beta, runningMean, runningVar }, { activation: 'relu' });
    tape.backward(y, dy);
    const dx = tape.gradient(x) as Tensor;
    for (const output of [y, dx]) plan.retain(output);
    return { plan, y, dx };
  };
  const standard = record();
  const before = await contents();
  const variants = await tune(standard.plan);
  assert.equal(await contents(), before);
  const ids = standard.plan.choices.map(({ id }) => id);
  assert.equal(Object.keys(variants).toSorted(), ids.toSorted());
  const tuned = record(variants);
  for (const { plan } of [standard, tuned]) {
    await plan.compile();
    plan.poison();
    plan.run();
  }
  close(await tuned.plan.read(tuned.y), await standard.plan.read(standard.y), 'y');
  close(await tuned.plan.read(tuned.dx), await standard.plan.read(standard.dx), 'dx');
  for (const { plan } of [standard, tuned]) plan.dispose();
});

test.run();
