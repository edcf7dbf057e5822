// Ops called wrongly in ways that a generator makes up: op, argument, and what is the matter with it. Each call either is refused
// by an error of ours or gives what it gives for a dense copy; it never gives another number, and never harms the device.
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ConfigError, DeviceError, ShapeError, type SlimgradError } from '../../src/errors.js';
import { activation } from '../../src/ops/activation.js';
import { add } from '../../src/ops/add.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { contrastiveLogits } from '../../src/ops/contrastive_logits.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { crossCorrelation, standardize } from '../../src/ops/cross_correlation.js';
import { depthwise } from '../../src/ops/depthwise.js';
import { l2Normalize, l2NormalizeInPlace } from '../../src/ops/l2_normalize.js';
import { linear } from '../../src/ops/linear.js';
import { matmulInto } from '../../src/ops/matmul.js';
import { nearestNeighborTargets } from '../../src/ops/nearest_neighbors.js';
import { pointwise } from '../../src/ops/pointwise.js';
import { averagePool, globalAveragePool, maxPool } from '../../src/ops/pool.js';
import { queuePush } from '../../src/ops/queue_push.js';
import { scaleChannels } from '../../src/ops/scale_channels.js';
import { sinkhorn } from '../../src/ops/sinkhorn.js';
import { softmax, softmaxCrossEntropy } from '../../src/ops/softmax.js';
import { squaredDistance } from '../../src/ops/squared_distance.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { toHalf } from '../../src/tensor/float16.js';
import {
  narrowView,
  numel,
  selectView,
  sliceView,
  type Tensor,
  tensor,
  transient,
  transposeView,
} from '../../src/tensor/tensor.js';
import { error } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, seed } from '../random.js';

type Args = Record<string, Tensor>;

interface Op {
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** Records it, and gives what it wrote. */
  readonly run: (tape: Tape, args: Args) => Tensor;
}

const bn = ({ x, gamma, beta, mean, variance }: Args, tape: Tape) =>
  batchnorm(tape, x, { gamma, beta, runningMean: mean, runningVar: variance });
const channels = { gamma: [4], beta: [4], mean: [4], variance: [4] };
const map = [2, 4, 6, 6];

const ops: Readonly<Record<string, Op>> = {
  activation: { shapes: { x: [4, 3] }, run: (tape, { x }) => activation(tape, x, 'silu') },
  add: { shapes: { a: [4, 3], b: [4, 3] }, run: (tape, { a, b }) => add(tape, a, b) },
  batchnorm: { shapes: { x: map, ...channels }, run: (tape, args) => bn(args, tape) },
  'batchnorm of rows': { shapes: { x: [6, 4], ...channels }, run: (tape, args) => bn(args, tape) },
  conv2d: { shapes: { x: map, w: [5, 4, 3, 3] }, run: (tape, { x, w }) => conv2d(tape, x, w, { padding: 1 }) },
  depthwise: { shapes: { x: map, w: [4, 1, 3, 3] }, run: (tape, { x, w }) => depthwise(tape, x, w, { padding: 1 }) },
  pointwise: { shapes: { x: map, w: [5, 4] }, run: (tape, { x, w }) => pointwise(tape, x, w) },
  'pointwise of a pixel': {
    shapes: { x: [3, 4, 1, 1], w: [5, 4, 1, 1] },
    run: (tape, { x, w }) => pointwise(tape, x, w),
  },
  globalAveragePool: { shapes: { x: map }, run: (tape, { x }) => globalAveragePool(tape, x) },
  averagePool: { shapes: { x: map }, run: (tape, { x }) => averagePool(tape, x, { kernelSize: 2 }) },
  maxPool: { shapes: { x: map }, run: (tape, { x }) => maxPool(tape, x, { kernelSize: 3, stride: 2, padding: 1 }) },
  scaleChannels: { shapes: { x: map, s: [2, 4] }, run: (tape, { x, s }) => scaleChannels(tape, x, s) },
  l2Normalize: { shapes: { x: [4, 6] }, run: (tape, { x }) => l2Normalize(tape, x) },
  l2NormalizeInPlace: {
    shapes: { x: [4, 6] },
    run: ({ plan }, { x }) => {
      l2NormalizeInPlace(plan, x);
      return x;
    },
  },
  softmax: { shapes: { x: [4, 6] }, run: (tape, { x }) => softmax(tape, x) },
  softmaxCrossEntropy: { shapes: { x: [4, 6], t: [4, 6] }, run: (tape, { x, t }) => softmaxCrossEntropy(tape, x, t) },
  squaredDistance: { shapes: { a: [4, 6], t: [4, 6] }, run: (tape, { a, t }) => squaredDistance(tape, a, t) },
  contrastiveLogits: {
    shapes: { q: [4, 6], own: [4, 6], queue: [7, 6] },
    run: (tape, { q, own, queue }) => contrastiveLogits(tape, q, own, queue),
  },
  sinkhorn: { shapes: { x: [4, 6] }, run: ({ plan }, { x }) => sinkhorn(plan, x, { epsilon: 1 }) },
  nearestNeighborTargets: {
    shapes: { x: [4, 6] },
    run: ({ plan }, { x }) => nearestNeighborTargets(plan, x, { count: 2 }),
  },
  queuePush: {
    shapes: { queue: [7, 6], rows: [4, 6] },
    run: ({ plan }, { queue, rows }) => {
      queuePush(plan, queue, rows);
      return queue;
    },
  },
  linear: { shapes: { x: [4, 6], w: [5, 6], bias: [5] }, run: (tape, { x, w, bias }) => linear(tape, x, w, bias) },
  standardize: { shapes: { z: [6, 4] }, run: ({ plan }, { z }) => standardize(plan, z).a },
  crossCorrelation: {
    shapes: { za: [6, 4], zb: [6, 4] },
    run: (tape, { za, zb }) => crossCorrelation(tape, za, zb).loss,
  },
  reshape: { shapes: { x: [4, 6] }, run: (tape, { x }) => tape.reshape(x, [8, 3]) },
  matmul: {
    shapes: { a: [4, 6], b: [6, 5], out: [4, 5] },
    run: ({ plan }, { a, b, out }) => {
      matmulInto(plan, { a, b, out });
      return out;
    },
  },
  'matmulInto, transposed': {
    shapes: { a: [6, 4], b: [5, 6], out: [4, 5] },
    run: ({ plan }, { a, b, out }) => {
      matmulInto(plan, { a, b, out, transposeA: true, transposeB: true, accumulate: true });
      return out;
    },
  },
};

let device: Device;
let other: Device;
test.before(async () => {
  device = await openTestDevice();
  other = await openTestDevice();
});
test.after(() => {
  other.dispose();
  device.dispose();
});

/** Where the elements of a tensor lie in a host's, and the view that says so. */
interface Placed {
  readonly host: readonly number[];
  readonly view: (host: Tensor) => Tensor;
  readonly at: (index: readonly number[]) => readonly number[];
}

const same = (index: readonly number[]) => index;

/** The kinds of view, for a tensor of a shape; nothing where there is none such. */
const views: Readonly<Record<string, (shape: readonly number[]) => Placed | undefined>> = {
  dense: (shape) => ({ host: shape, view: (x) => x, at: same }),
  'beginning of more rows': (shape) => {
    const [first, ...rest] = shape;
    return { host: [first + 2, ...rest], view: (x) => sliceView(x, shape), at: same };
  },
  'beginning of wider rows': (shape) => ({
    host: shape.map((side, d) => (d === shape.length - 1 ? side + 3 : side)),
    view: (x) => sliceView(x, shape),
    at: same,
  }),
  'beginning of more columns': (shape) =>
    shape.length < 2
      ? undefined
      : { host: shape.map((side, d) => side + (d === 1 ? 2 : 0)), view: (x) => sliceView(x, shape), at: same },
  'some columns': (shape) =>
    shape.length !== 2
      ? undefined
      : { host: [shape[0], shape[1] + 3], view: (x) => narrowView(x, 2, shape[1]), at: ([i, j]) => [i, j + 2] },
  'the first columns': (shape) =>
    shape.length !== 2
      ? undefined
      : { host: [shape[0], shape[1] + 3], view: (x) => narrowView(x, 0, shape[1]), at: same },
  transposed: (shape) =>
    shape.length < 2
      ? undefined
      : {
          host: [shape[1], shape[0], ...shape.slice(2)],
          view: transposeView,
          at: ([i, j, ...rest]) => [j, i, ...rest],
        },
  'kept rows': (shape) => ({
    host: shape.map((side, d) => side + (d === 0 ? 2 : 0)),
    view: (x) => selectView(x, shape, { rows: list(shape[0]) }),
    at: ([i, ...rest]) => [kept(shape[0])[i], ...rest],
  }),
  'kept columns': (shape) =>
    shape.length < 2
      ? undefined
      : {
          host: shape.map((side, d) => side + (d === 1 ? 2 : 0)),
          view: (x) => selectView(x, shape, { columns: list(shape[1]) }),
          at: ([i, j, ...rest]) => [i, kept(shape[1])[j], ...rest],
        },
  'the first of kept rows': (shape) => ({
    host: shape.map((side, d) => side + (d === 0 ? 3 : 0)),
    view: (x) => sliceView(selectView(x, [shape[0] + 1, ...shape.slice(1)], { rows: list(shape[0] + 1) }), shape),
    at: ([i, ...rest]) => [kept(shape[0] + 1)[i], ...rest],
  }),
};

/** Of `count` + 2 channels all but two. */
const kept = (count: number) =>
  Array.from({ length: count }, (_, i) => (i === 0 ? 0 : i === count - 1 ? i + 2 : i + 1));

const buffers: GPUBuffer[] = [];

function list(count: number) {
  const storage = device.buffer('list', 4 * count);
  buffers.push(storage);
  device.write(storage, Uint32Array.from(kept(count)));
  return { storage, offset: 0, bytes: 4 * count };
}

/** What may be wrong with a tensor beside how it lies. */
const faults = [
  'nothing',
  'f16',
  'freed',
  'of another device',
  'of another plan',
  'too short',
  'beyond its buffer',
  'off the boundary',
  'shared',
  'gradient of another shape',
] as const;
type Fault = (typeof faults)[number];

/** A tensor with these values, lying as `placed` says, in memory with this fault. */
function make(name: string, shape: readonly number[], values: Float32Array, placed: Placed, fault: Fault): Tensor {
  const { host } = placed;
  const data = Float32Array.from({ length: numel(host) }, () => 77);
  values.forEach((value, i) => {
    const index: number[] = [];
    let rest = i;
    for (let d = shape.length - 1; d >= 0; d--) {
      index.unshift(rest % shape[d]);
      rest = Math.floor(rest / shape[d]);
    }
    data[placed.at(index).reduce((at, k, d) => at * host[d] + k, 0)] = value;
  });
  if (fault === 'of another plan') return placed.view(transient(new Plan(device), name, host));
  const half = fault === 'f16';
  const maker = fault === 'of another device' ? other : device;
  const begin = fault === 'off the boundary' ? 8 : 0;
  const fits = fault === 'beyond its buffer' ? 4 : data.length; // a buffer has 16 bytes at least
  const storage = maker.buffer(name, begin + 4 * fits);
  if (half) maker.write(storage, new Uint16Array([...toHalf(data), 0].slice(0, data.length + (data.length % 2))));
  else maker.write(storage, data.subarray(0, fits), begin);
  if (fault === 'freed' || fault === 'of another device') maker.free(storage);
  else buffers.push(storage);
  let whole = tensor(storage, name, host, begin, half ? 'f16' : 'f32');
  if (fault === 'too short') whole = { ...whole, bytes: 4 };
  if (fault === 'gradient of another shape') {
    const grad = device.buffer(`d${name}`, 4096);
    buffers.push(grad);
    return { ...placed.view(whole), grad: tensor(grad, `d${name}`, [...shape, 2]) };
  }
  return placed.view(whole);
}

interface Outcome {
  readonly y: Float32Array;
  readonly gradients: Readonly<Record<string, Float32Array>>;
}

/** Runs an op with its arguments: what it wrote, and the gradients of those that it gives any. */
async function outcomeOf({ run }: Op, args: Args): Promise<Outcome> {
  const plan = new Plan(device);
  try {
    const tape = new Tape(plan);
    for (const x of Object.values(args)) if (!x.grad) tape.requireGrad(x);
    const y = run(tape, args);
    plan.retain(y);
    if (tape.operations.length > 0) {
      const dy = device.buffer('dy', 4 * numel(y.shape));
      buffers.push(dy);
      device.write(
        dy,
        Float32Array.from({ length: numel(y.shape) }, (_, i) => Math.cos(i)),
      );
      tape.backward(y, tensor(dy, 'dy', y.shape));
    }
    const gradients = Object.entries(args).flatMap(([name, x]) => {
      const dx = x === y ? undefined : tape.gradient(x);
      return dx ? [[name, dx] as const] : [];
    });
    for (const [, dx] of gradients) plan.retain(dx);
    await plan.compile();
    plan.poison();
    plan.run({ step: 1 });
    const read: Record<string, Float32Array> = {};
    for (const [name, dx] of gradients) read[name] = await plan.read(dx);
    return { y: await plan.read(y), gradients: read };
  } finally {
    plan.dispose();
  }
}

const cases = Object.keys(ops).flatMap((op) => Object.keys(ops[op].shapes).map((argument) => ({ op, argument })));

let refused = 0;
let right = 0;

async function tell({ op, argument, view, fault, salt }: Case): Promise<void> {
  const { shapes } = ops[op];
  const random = generator(seed + salt);
  // eighths are exact in f16, and positive ones do for variances and distributions
  const values = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      Float32Array.from({ length: numel(shape) }, () => (1 + Math.floor(random() * 15)) / 8),
    ]),
  );
  const placed = views[view](shapes[argument]);
  if (!placed) return;
  const dense = (name: string) =>
    make(name, shapes[name], values[name], views.dense(shapes[name]) as Placed, 'nothing');
  const names = Object.keys(shapes);
  const what = `${op}: ${argument} ${view}, ${fault} (seed ${seed}, ${salt})`;
  try {
    const args = Object.fromEntries(names.map((name) => [name, dense(name)]));
    let expected: Outcome;
    let got: Outcome;
    try {
      const twisted = make(argument, shapes[argument], values[argument], placed, fault);
      const wrong = { ...args, [argument]: twisted };
      const twin = names.find((name) => name !== argument && `${shapes[name]}` === `${shapes[argument]}`);
      if (fault === 'shared' && twin) {
        wrong[twin] = twisted;
        values[twin] = values[argument];
      }
      got = await outcomeOf(ops[op], wrong);
    } catch (thrown) {
      const { name, message } = thrown as SlimgradError;
      assert.ok(
        [ShapeError, DeviceError, ConfigError].some((kind) => thrown instanceof kind),
        `${what}: ${(thrown as Error).stack}`,
      );
      assert.not.match(message, /internal|^plan: \[/, `${what}: ${name}: ${message}`);
      refused++;
      return;
    }
    expected = await outcomeOf(ops[op], Object.fromEntries(names.map((name) => [name, dense(name)])));
    right++;
    const tolerance = fault === 'f16' ? 2e-2 : 1e-5;
    assert.ok(error(got.y, expected.y) <= tolerance, `${what}: y is ${got.y}, of a dense copy ${expected.y}`);
    // what is shared has one gradient, the sum of two
    if (fault === 'shared') return;
    for (const [name, dx] of Object.entries(got.gradients))
      assert.ok(error(dx, expected.gradients[name]) <= tolerance, `${what}: the gradient of ${name} is another`);
  } finally {
    for (const buffer of buffers.splice(0)) device.free(buffer);
    await device.settled();
  }
}

interface Case {
  readonly op: string;
  readonly argument: string;
  readonly view: string;
  readonly fault: Fault;
  readonly salt: number;
}

test('every argument of every op as every kind of view is refused, or gives what a dense copy gives', async () => {
  for (const { op, argument } of cases)
    for (const view of Object.keys(views)) await tell({ op, argument, view, fault: 'nothing', salt: 0 });
  assert.ok(refused > 100 && right > 100, `${refused} refused, ${right} right`);
});

test('made-up misuses are refused, or give what a dense copy gives', async () => {
  const misuse = fc.record({
    at: fc.constantFrom(...cases),
    view: fc.constantFrom(...Object.keys(views)),
    fault: fc.constantFrom(...faults),
    salt: fc.integer({ min: 1, max: 1000 }),
  });
  await fc.assert(
    fc.asyncProperty(misuse, ({ at, ...rest }) => tell({ ...at, ...rest })),
    { numRuns: 300, seed, includeErrorInReport: true },
  );
});

test.run();
