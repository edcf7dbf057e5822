// More workgroups than a dimension may have are folded over two, (x, y), the last row short: every kernel that counts its
// threads over both writes bit for bit what it writes unfolded.
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { activation } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { contrastiveLogits } from '../../src/ops/contrastive_logits.js';
import { concat, narrow, transpose } from '../../src/ops/copy.js';
import { crossCorrelation, crossCorrelationLoss, standardize } from '../../src/ops/cross_correlation.js';
import { div, exp, mul } from '../../src/ops/elementwise.js';
import { l2Normalize, l2NormalizeInPlace } from '../../src/ops/l2_normalize.js';
import { linear } from '../../src/ops/linear.js';
import { nearestNeighborTargets } from '../../src/ops/nearest_neighbors.js';
import { averagePool, globalAveragePool, maxPool } from '../../src/ops/pool.js';
import { queuePush } from '../../src/ops/queue_push.js';
import { mean, sum } from '../../src/ops/reduce.js';
import { scaleChannels } from '../../src/ops/scale_channels.js';
import { sinkhorn } from '../../src/ops/sinkhorn.js';
import { softmax, softmaxCrossEntropy } from '../../src/ops/softmax.js';
import { squaredDistance } from '../../src/ops/squared_distance.js';
import { adamw } from '../../src/optim/adamw.js';
import { ema } from '../../src/optim/ema.js';
import { lars } from '../../src/optim/lars.js';
import type { Optimizer, Trainable } from '../../src/optim/optimizer.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { bufferOf } from '../../src/tensor/binding.js';
import { numel, type Tensor } from '../../src/tensor/tensor.js';
import { upload } from '../check.js';
import { openTestDevice, pretend } from '../device.js';
import { generator, randoms, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** A tensor of fresh random numbers, all above 0; with a gradient of others where it is a parameter. */
type Make = (shape: readonly number[], role?: 'parameter') => Tensor;
/** Records something, and returns what it writes besides to tensors that were made for it. */
type Record = (tape: Tape, make: Make) => Tensor[];

/** An op forward and backward, all its inputs activations. */
function op(run: (tape: Tape, ...inputs: Tensor[]) => Tensor, ...shapes: number[][]): Record {
  return (tape, make) => {
    const inputs = shapes.map((shape) => tape.requireGrad(make(shape)));
    const y = run(tape, ...inputs);
    tape.backward(y, make(y.shape));
    return [y, ...inputs.flatMap((x) => tape.gradient(x) ?? [])];
  };
}

const norm =
  (training: boolean): Record =>
  (tape, make) => {
    const [gamma, beta] = [make([400], 'parameter'), make([400], 'parameter')];
    const parameters = { gamma, beta, runningMean: make([400]), runningVar: make([400]) };
    return op((tape, x) => batchnorm(tape, x, parameters, { training, activation: 'silu' }), [20, 400])(tape, make);
  };

const optimizer =
  (of: (plan: Plan, trainable: Trainable) => Optimizer): Record =>
  ({ plan }, make) => {
    const size = 7 * 256;
    const weights = make([size], 'parameter');
    const places = Array.from({ length: 7 }, (_, i) => ({
      name: `t${i}`,
      shape: [16, 16],
      offset: 256 * i,
      length: 256,
    }));
    const { grad } = weights;
    of(plan, { weights: bufferOf(weights), grads: bufferOf(grad as Tensor), places, size });
    return [];
  };

const wide = [70, 1100]; // of embeddings, so that their columns take more workgroups than a matrix's sums of squares
const ofSquares = 64; // workgroups that stand in one row whatever the sizes

const cases: { [what: string]: Record } = {
  'elementwise, of equal shapes': op(mul, [20, 400], [20, 400]),
  'elementwise, a row repeated': op(div, [20, 400], [400]),
  'elementwise, a column and a row': op(mul, [20, 1], [1, 400]),
  'elementwise, of one': op(exp, [20, 400]),
  'sums of columns': op((tape, x) => sum(tape, x, { dim: 0 }), [20, 4000]),
  'sums of rows': op((tape, x) => sum(tape, x, { dim: 1 }), [400, 200]),
  'sum of all': op((tape, x) => mean(tape, x), [400, 200]),
  transpose: op(transpose, [20, 400]),
  narrow: op((tape, x) => narrow(tape, x, 1, 3, 390), [20, 400]),
  concat: op((tape, a, b) => concat(tape, [a, b], 1), [20, 400], [20, 300]),
  add: op(add, [17, 101], [17, 101]),
  'a parameter in place of an activation': (tape, make) => {
    const y = activation(tape, make([17, 101], 'parameter'), 'relu');
    tape.backward(y, make(y.shape));
    return [y];
  },
  activation: op((tape, x) => activation(tape, x, 'silu'), [17, 101]),
  'batchnorm in training': norm(true),
  'batchnorm in evaluation': norm(false),
  'global average': op(globalAveragePool, [5, 90, 3, 3]),
  'average pool': op((tape, x) => averagePool(tape, x, { kernelSize: 2, stride: 1 }), [2, 11, 5, 5]),
  'max pool': op((tape, x) => maxPool(tape, x, { kernelSize: 3, stride: 1, padding: 1 }), [2, 11, 5, 5]),
  'scaled channels': op(scaleChannels, [5, 90, 3, 3], [5, 90]),
  linear: (tape, make) => {
    const [weight, bias] = [make([330, 9], 'parameter'), make([330], 'parameter')];
    return op((tape, x) => linear(tape, x, weight, bias), [3, 9])(tape, make);
  },
  'rows of length one': op(l2Normalize, [330, 5]),
  'rows of length one, in place': (tape, make) => {
    l2NormalizeInPlace(tape.plan, make([330, 5]));
    return [];
  },
  softmax: op((tape, x) => softmax(tape, x), [330, 5]),
  'cross-entropy of classes': op((tape, x) => softmaxCrossEntropy(tape, x), [330, 5]),
  'cross-entropy of distributions': op((tape, x, targets) => softmaxCrossEntropy(tape, x, targets), [330, 5], [330, 5]),
  sinkhorn: (tape, make) => [sinkhorn(tape.plan, make([330, 100]))],
  contrastive_logits: op(contrastiveLogits, [330, 5], [330, 5], [3, 5]),
  nearest_neighbors: (tape, make) => [nearestNeighborTargets(tape.plan, make([330, 9]))],
  'squared distance': op((tape, a, target) => squaredDistance(tape, a, target), [65, 1100], [65, 1100]),
  queue_push: (tape, make) => {
    queuePush(tape.plan, make([100, 5]), make([90, 5]));
    return [];
  },
  'cross-correlation, gram': op((tape, a, b) => crossCorrelation(tape, a, b, { form: 'gram' }).loss, wide, wide),
  'cross-correlation, direct': op(
    (tape, a, b) => crossCorrelation(tape, a, b, { form: 'direct' }).loss,
    [5, 90],
    [5, 90],
  ),
  'cross-correlation of two pairs': ({ plan }, make) => {
    const [u, v, w] = [wide, wide, wide].map((shape) => standardize(plan, make(shape)));
    const [dz, metrics] = [make(wide), make([2, 4])];
    crossCorrelationLoss(
      plan,
      [
        { u, v },
        { u, v: w },
      ],
      [{ of: u, dz }],
      metrics,
      { form: 'gram' },
    );
    return [];
  },
  sgd: optimizer(sgd),
  adamw: optimizer(adamw),
  lars: optimizer((plan, trainable) => lars(plan, trainable, { trust: 0.02 })),
  ema: ({ plan }, make) => {
    const [source, target] = [0, 1].map(() => ({
      weights: bufferOf(make([7 * 256])),
      places: [],
      size: 7 * 256,
    }));
    ema(plan, target, source, { momentum: 0.9 });
    return [];
  },
};

interface Recorded {
  readonly plan: Plan;
  /** All that it may write to. */
  readonly written: readonly Tensor[];
  [Symbol.dispose](): void;
}

function recorded(on: Device, record: Record, variants: { [key: string]: string }): Recorded {
  const random = generator(seed);
  const fresh = (shape: readonly number[]) => randoms(random, numel(shape), 0.7, 0.5);
  const made: Tensor[] = [];
  const plan = new Plan(on, { variants });
  const returned = record(new Tape(plan), (shape, role) => {
    made.push(upload(on, 'made', shape, fresh(shape), role && fresh(shape)));
    return made[made.length - 1];
  });
  for (const each of returned) plan.retain(each);
  return {
    plan,
    written: [...returned, ...made.flatMap((each) => (each.grad ? [each, each.grad] : [each]))],
    [Symbol.dispose]() {
      plan.dispose();
      on.release(made.flatMap((each) => (each.grad ? [each, each.grad] : [each])));
    },
  };
}

async function values({ plan, written }: Recorded): Promise<Float32Array[]> {
  await plan.compile();
  plan.poison();
  plan.run({ step: 3, lr: 0.1, bias1: 0.5, bias2: 0.5 });
  const read: Float32Array[] = [];
  for (const each of written) read.push((await plan.read(each)).slice(0, numel(each.shape)));
  return read;
}

/** Each form of the choices of a case, for all of them that have it. */
function forms(record: Record): { [key: string]: string }[] {
  using plain = recorded(device, record, {});
  const { choices } = plain.plan;
  const names = new Set(choices.flatMap(({ variants: candidates }) => candidates.map(({ name }) => name)));
  const having = (form: string) =>
    choices.filter(({ variants: candidates }) => candidates.some(({ name }) => name === form));
  return [{}, ...[...names].map((form) => Object.fromEntries(having(form).map(({ id }) => [id, form])))];
}

const folded = new Set<string>();
for (const [what, record] of Object.entries(cases))
  test(`${what}: in as many rows of workgroups as there must be`, async () => {
    for (const variants of forms(record)) {
      using flat = recorded(device, record, variants);
      const most = Math.max(...flat.plan.dispatches.flatMap(({ workgroups }) => workgroups));
      const least = what.startsWith('cross-correlation') ? ofSquares : 2;
      const limits = { maxComputeWorkgroupsPerDimension: Math.max(least, Math.ceil(Math.sqrt(most))) };
      using narrow = recorded(pretend(device, { limits }), record, variants);
      for (const { label, workgroups } of narrow.plan.dispatches) if (workgroups[1] > 1) folded.add(label);
      const [expected, found] = [await values(flat), await values(narrow)];
      for (const [i, each] of found.entries()) {
        assert.ok(each.every(Number.isFinite), `${what} ${JSON.stringify(variants)}: ${i} is finite (seed ${seed})`);
        assert.equal(each, expected[i], `${what} ${JSON.stringify(variants)}: ${i} (seed ${seed})`);
      }
    }
  });

test('no kernel that counts over two dimensions is left out', () => {
  // whose own tests do the same, by every form and against f64
  const elsewhere = /^(conv2d|depthwise|matmul|pointwise)\b/;
  const files = readdirSync('kernels').filter((file) => file.endsWith('.wgsl') && !elsewhere.test(file));
  const left = files.flatMap((file) => {
    const entries = readFileSync(`kernels/${file}`, 'utf8')
      .split(/^@compute.*\nfn /m)
      .slice(1);
    return entries
      .filter((code) => code.includes('num_workgroups') && !/\/ num\.x|\+= num\.x/.test(code)) // these share work out over one
      .map((code) => `${file.replace('.wgsl', '')}.${code.split('(')[0]}`)
      .filter((label) => !folded.has(label));
  });
  assert.equal(left, []);
});

test.run();
