// Devices, buffers and plans used out of turn: each use is refused by the name of what it was tried on, and harms nothing else.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters, parameter } from '../../src/core/parameters.js';
import { Tape } from '../../src/core/tape.js';
import { kernel } from '../../src/custom_kernel/kernel.js';
import { ConfigError, DeviceError, ShapeError, ValidationError } from '../../src/errors.js';
import { add } from '../../src/generated/add.js';
import { activation } from '../../src/ops/activation.js';
import { batchnorm } from '../../src/ops/batchnorm.js';
import { crossCorrelation } from '../../src/ops/cross_correlation.js';
import { exp } from '../../src/ops/elementwise.js';
import { matmulInto } from '../../src/ops/matmul.js';
import { queuePush } from '../../src/ops/queue_push.js';
import { adamw } from '../../src/optim/adamw.js';
import { ema } from '../../src/optim/ema.js';
import { lars } from '../../src/optim/lars.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { statsOf } from '../../src/runtime/stats.js';
import { bufferOf } from '../../src/tensor/binding.js';
import { toHalf } from '../../src/tensor/float16.js';
import {
  narrowView,
  numel,
  reshapeView,
  selectView,
  sliceView,
  type Tensor,
  tensor,
  transient,
  transposeView,
} from '../../src/tensor/tensor.js';
import { upload, uploadList } from '../check.js';
import { openTestDevice } from '../device.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());
test.after.each(() => device.settled());

/** 0, 1, 2, … under this shape. */
const counting = (shape: readonly number[], label = 'x') =>
  upload(
    device,
    label,
    shape,
    Float32Array.from({ length: numel(shape) }, (_, i) => i),
  );

/** The tensor's numbers, read by a plan that has nothing else to do. */
const read = async (x: Tensor) => [...(await new Plan(device).read(x))];

test('a view is refused by the names of op, binding and tensor, with its strides and the remedy', () => {
  const view = sliceView(counting([4, 6], 'wide'), [4, 3]);
  const message =
    /^activation\.forward: x: expected a dense tensor, got a view wide \(4, 3\) with strides \(6, 1\); copy it by contiguous\(\)$/;
  assert.throws(
    () => activation(new Tape(new Plan(device)), view, 'relu'),
    (error: Error) => error instanceof ShapeError && message.test(error.message),
  );
});

test('views of views are read as what they are', async () => {
  const x = counting([4, 6]);
  const rows = uploadList(device, [0, 2, 3]);
  const columnsKept = uploadList(device, [1, 4]);
  assert.equal(await read(sliceView(x, [2, 3])), [0, 1, 2, 6, 7, 8]);
  assert.equal(await read(narrowView(x, 4, 2)), [4, 5, 10, 11, 16, 17, 22, 23]);
  assert.equal(await read(narrowView(transposeView(x), 1, 2)), [6, 12, 7, 13, 8, 14, 9, 15, 10, 16, 11, 17]);
  assert.equal(await read(sliceView(transposeView(x), [2, 2])), [0, 6, 1, 7]);
  assert.equal(await read(sliceView(narrowView(x, 2, 3), [2, 2])), [2, 3, 8, 9]);
  assert.equal(await read(selectView(x, [3, 2], { rows, columns: columnsKept })), [1, 4, 13, 16, 19, 22]);
  assert.equal(await read(sliceView(selectView(x, [3, 2], { rows, columns: columnsKept }), [2, 1])), [1, 13]);
  assert.equal(
    await read(transposeView(selectView(x, [3, 2], { rows, columns: columnsKept }))),
    [1, 13, 19, 4, 16, 22],
  );
  assert.equal(
    await read(selectView(selectView(x, [3, 6], { rows }), [3, 2], { columns: columnsKept })),
    [1, 4, 13, 16, 19, 22],
  );
  assert.equal(await read(narrowView(selectView(x, [3, 6], { rows }), 4, 1)), [4, 16, 22]);
  const again = uploadList(device, [0, 1]);
  await rejects(
    () => selectView(selectView(x, [3, 6], { rows }), [2, 6], { rows: again }),
    ShapeError,
    /^selectView: .* select from the whole tensor/,
  );
  await rejects(
    () => reshapeView(sliceView(x, [4, 3]), [12]),
    ShapeError,
    /^reshapeView: expected a dense tensor, got a view x/,
  );
  await rejects(() => reshapeView(x, [5, 5]), ShapeError, /^reshapeView: expected 24 elements, got \(5, 5\)/);
  await rejects(() => transposeView(counting([4])), ShapeError, /^transposeView: .* two dimensions or more, got \(4\)/);
});

test('views of f16 count two bytes an element', async () => {
  const values = Float32Array.from({ length: 24 }, (_, i) => i);
  const storage = device.buffer('halves', 48);
  device.write(storage, toHalf(values));
  const x = tensor(storage, 'halves', [4, 6], 0, 'f16');
  assert.equal([sliceView(x, [2, 3]).bytes, narrowView(x, 3, 2).offset, narrowView(x, 3, 2).bytes], [18, 6, 40]);
  assert.equal(await read(x), [...values]);
  assert.equal(await read(sliceView(x, [2, 3])), [0, 1, 2, 6, 7, 8]);
  assert.equal(await read(narrowView(x, 3, 2)), [3, 4, 9, 10, 15, 16, 21, 22]);
});

test("a parameter's view has the same view of its gradient", () => {
  const x = upload(device, 'w', [4, 6], new Float32Array(24), new Float32Array(24));
  for (const view of [narrowView(x, 1, 2), sliceView(x, [2, 2]), transposeView(x), reshapeView(x, [24])])
    assert.equal([view.grad?.shape, view.grad?.strides, view.grad?.offset], [view.shape, view.strides, view.offset]);
});

test('memory is not bound for reading and writing at once', async () => {
  const plan = new Plan(device);
  const [a, b] = [counting([4, 4], 'a'), counting([4, 4], 'b')];
  await rejects(
    () => matmulInto(plan, { a, b, out: a }),
    ValidationError,
    /^matmul.*"a4?" and "c" in separate memory.*"a"/,
  );
  await rejects(
    () => matmulInto(plan, { a, b, out: b }),
    ValidationError,
    /^matmul.*"b4?" and "c" in separate memory.*"b"/,
  );
  await rejects(() => queuePush(plan, a, a), ValidationError, /^queue_push\.store: expected "rows" and "queue"/);
  const parameters = new Parameters(device, [parameter('w', [4, 4], () => 1)], []);
  await rejects(
    () => ema(plan, parameters, parameters),
    ValidationError,
    /^ema\.update: expected "source" and "average"/,
  );
  parameters.dispose();
});

test('what does not fit its memory, or the kernel, is refused', async () => {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const x = counting([4]);
  const long = tensor(device.buffer('short', 16), 'short', [40]);
  await rejects(
    () => tape.accumulate(x, { ...x, bytes: 4 }),
    ShapeError,
    /^add\.forward: b: expected 16 bytes for x \(4\)/,
  );
  await rejects(
    () => tape.accumulate(long, long),
    ValidationError,
    /a: expected a range within the 16 bytes of "short", got 160/,
  );
  await rejects(() => tape.accumulate(x, { ...x, shape: [-4] }), ShapeError, /expected sides of at least 1/);
  await rejects(() => plan.clear(sliceView(counting([4, 6]), [4, 3])), ShapeError, /clear: expected a dense tensor/);
  await rejects(
    () => plan.clear({ ...x, bytes: 512 }),
    ValidationError,
    /clear: expected a range within the 256 bytes/,
  );
  const y = transient(plan, 'y', [4]);
  const common = { params: { n: 4 }, bindings: { a: x, b: x, y }, bytes: 0 };
  for (const workgroups of [0, -1, 1.5, Number.NaN])
    await rejects(
      () => plan.dispatch(add, 'forward', { ...common, workgroups }),
      ValidationError,
      /^add\.forward: expected from 1/,
    );
  const params = { n: Number.NaN };
  await rejects(
    () => plan.dispatch(add, 'forward', { ...common, params, workgroups: 1 }),
    ValidationError,
    /^add\.forward: .*u32 for "n"/,
  );
  const missing = { a: x, y } as unknown as typeof common.bindings;
  await rejects(
    () => plan.dispatch(add, 'forward', { ...common, bindings: missing, workgroups: 1 }),
    ValidationError,
    /^add\.forward: missing binding "b"/,
  );
});

test('buffers are made, written, read and freed within their bounds', async () => {
  for (const bytes of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
    await rejects(() => device.buffer('w', bytes), ValidationError, /^w: expected a size in bytes that is whole/);
  const buffer = device.buffer('w', 64);
  const within = /^w: expected to (write|read) multiples of 4 bytes within its 64, got/;
  await rejects(() => device.write(buffer, new Float32Array(17)), ValidationError, within);
  await rejects(() => device.write(buffer, new Float32Array(4), 52), ValidationError, within);
  await rejects(() => device.write(buffer, new Float32Array(4), -4), ValidationError, within);
  await rejects(() => device.write(buffer, new Uint8Array(3)), ValidationError, within);
  await rejects(
    () => device.write(buffer, [1, 2] as unknown as Float32Array),
    ValidationError,
    /^w: expected a typed array/,
  );
  await rejects(() => device.read(buffer, 60, 8), ValidationError, within);
  await rejects(
    () => device.copy(buffer, device.buffer('v', 32)),
    ValidationError,
    /^v: expected 32 bytes to copy, got 64/,
  );
  device.free(buffer);
  await rejects(() => device.free(buffer), DeviceError, /^w: freed a second time/);
  await rejects(() => device.read(buffer), DeviceError, /^w: used after it was freed/);
  const other = await openTestDevice();
  const theirs = other.buffer('theirs', 64);
  await rejects(() => device.free(theirs), DeviceError, /^theirs: expected a buffer that this device made/);
  await rejects(() => device.write(theirs, new Float32Array(4)), DeviceError, /^theirs: .* one of another device/);
  other.dispose();
});

test('what owns buffers may be disposed of twice', async () => {
  const before = device.allocated;
  const parameters = new Parameters(device, [parameter('w', [4, 4], () => 1)], []);
  const plan = new Plan(device);
  const optimizer = adamw(plan, parameters);
  for (const owner of [plan, optimizer, parameters, plan, optimizer, parameters]) owner.dispose();
  assert.is(device.allocated, before);
  await device.settled();
});

test('a buffer freed under a plan is refused when it runs, by name, and the device goes on', async () => {
  const [a, b] = [counting([4], 'a'), counting([4], 'b')];
  const plan = new Plan(device);
  const y = new Tape(plan).accumulate(a, b);
  plan.retain(y);
  await plan.compile();
  plan.run();
  device.free(b);
  for (let again = 0; again < 2; again++) await rejects(() => plan.run(), DeviceError, /^b: used after it was freed/);
  assert.equal([...(await plan.read(y))], [0, 2, 4, 6]);
  plan.dispose();
});

test('what a plan has to be told before it is compiled is refused after', async () => {
  const plan = new Plan(device);
  const x = counting([4]);
  const tape = new Tape(plan);
  const y = tape.accumulate(x, x);
  const z = tape.accumulate(y, x);
  plan.retain(z);
  await rejects(
    () => plan.retain(transient(new Plan(device), 'its', [4])),
    ValidationError,
    /"its" belongs to another plan/,
  );
  await plan.compile();
  await rejects(() => plan.retain(y), ValidationError, /^plan: expected a plan that is recording to keep memory/);
  await rejects(() => plan.read(y), ValidationError, /"add\.y" was not kept, .* call retain\(\) before compile\(\)/);
  await rejects(
    () => plan.slot('late', 64),
    ValidationError,
    /recording to record a command, got one that is compiled/,
  );
  await rejects(() => plan.clear(x), ValidationError, /recording to record a command, got one that is compiled/);
  plan.run();
  assert.equal([...(await plan.read(z))], [0, 3, 6, 9]);
  plan.dispose();
  await rejects(() => plan.retain(y), ValidationError, /got one that is disposed/);
  await rejects(() => plan.read(z), ValidationError, /the plan is disposed/);
});

test('a phase is recorded at once', async () => {
  const plan = new Plan(device);
  await rejects(
    () => plan.phase('later', async () => undefined),
    ValidationError,
    /^plan: expected phase "later" to be recorded at once, got an async function/,
  );
  await rejects(() => plan.phase('failing', () => Promise.reject(new Error('no'))), ValidationError, /"failing"/);
  assert.is(plan.currentPhase, '');
});

test('a plan is told at every run what its optimizer needs', async () => {
  for (const record of [sgd, lars, adamw]) {
    const parameters = new Parameters(device, [parameter('w', [4, 4], () => 1)], []);
    using plan = new Plan(device);
    const optimizer = record(plan, parameters);
    await plan.compile();
    await rejects(
      () => plan.run({ lr: 0.1 }),
      ValidationError,
      /^weights: expected to be filled before a run; call initialize\(random\), load\(\), loadState\(\) or write\(\) first/,
    );
    parameters.initialize(Math.random);
    await rejects(
      () => plan.run(),
      ValidationError,
      /^plan: expected lr for (sgd|lars|adamw), got none; pass it: run\(\{ lr \}\)/,
    );
    for (const lr of [Number.NaN, -1, Number.POSITIVE_INFINITY])
      await rejects(() => plan.run({ lr }), ConfigError, /^plan: expected lr to be a number of at least 0, got/);
    await rejects(() => plan.run({ lr: 1, rate: 1 } as object), ConfigError, /expected step, seed, .*, got rate/);
    plan.run({ lr: 0.1 });
    optimizer.dispose();
    parameters.dispose();
  }
  using plan = new Plan(device);
  const queue = counting([4, 2], 'queue');
  queuePush(plan, queue, counting([2, 2], 'rows'));
  await plan.compile();
  plan.firstStep = 3;
  await rejects(() => plan.run({ step: 2 }), ValidationError, /^plan: expected a step from 3 on, .*, got 2/);
});

test('parameters are trained once they have values, whoever gave them', async () => {
  const make = () => new Parameters(device, [parameter('w', [4, 4], () => 1)], []);
  const given = make();
  given.initialize(Math.random);
  const values = await given.read();
  const own = { parameters: [parameter('w', [4, 4], () => 1)], statistics: [] };
  const ways: Record<string, (parameters: Parameters) => unknown> = {
    initialize: (parameters) => parameters.initialize(Math.random),
    load: (parameters) => parameters.load(values),
    loadState: (parameters) => parameters.loadState(own, 'host', values),
    write: (parameters) => parameters.write('w', new Float32Array(16)),
    'device.write': ({ weights }) => device.write(weights, new Float32Array(64)),
    'device.copy': ({ weights }) => device.copy(given.weights, weights),
  };
  for (const [name, fill] of Object.entries(ways)) {
    const parameters = make();
    using plan = new Plan(device);
    const optimizer = sgd(plan, parameters, { lr: 0.1 });
    await plan.compile();
    await rejects(() => plan.run(), ValidationError, /^weights: expected to be filled/);
    await fill(parameters);
    try {
      plan.run();
    } catch (error) {
      assert.unreachable(`${name}: ${error}`);
    }
    optimizer.dispose();
    parameters.dispose();
  }
  given.dispose();
  const target = make();
  using plan = new Plan(device);
  const online = make();
  online.initialize(Math.random);
  ema(plan, target, online, { momentum: 0.5 });
  await plan.compile();
  await rejects(() => plan.run(), ValidationError, /^weights: expected to be filled/);
});

test('a plan or device that was disposed of records and runs nothing', async () => {
  const other = await openTestDevice();
  const plan = new Plan(other);
  const tape = new Tape(plan);
  const x = other.tensor([4], 1);
  exp(tape, x);
  plan.dispose();
  await rejects(
    () => exp(tape, x),
    ValidationError,
    /^plan: expected a plan that is recording .*, got one that is disposed/,
  );
  await rejects(() => plan.compile(), ValidationError, /got one that is disposed/);
  await rejects(() => plan.run(), ValidationError, /got one that is disposed/);
  const late = new Plan(other);
  exp(new Tape(late), x);
  other.dispose();
  await rejects(() => late.compile(), DeviceError, /^device: used after dispose\(\)/);
  for (const use of [() => other.tensor([4], 0), () => other.write(x, new Float32Array(4)), () => other.read(x)])
    await rejects(use, DeviceError, /^device: used after dispose\(\)/);
});

test('pipelines are counted by their code, not by the names of kernels', async () => {
  const times = (factor: number) =>
    kernel(`
      @group(0) @binding(0) var<storage, read_write> y: array<f32>;
      @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) { y[id.x] = ${factor}f; }`);
  using plan = new Plan(device);
  for (const factor of [2, 3, 2]) {
    const y = transient(plan, 'y', [4]);
    plan.dispatch(times(factor), 'main', { params: {}, bindings: { y }, workgroups: 1, bytes: 16 });
  }
  assert.is(statsOf(plan).dispatches, 3);
  assert.is(statsOf(plan).pipelines, 2);
});

test('names that are none of the known ones are refused with these', async () => {
  const tape = new Tape(new Plan(device));
  const x = counting([4, 2]);
  const known = /: expected one of none, relu, relu6, .*, got gelu$/;
  await rejects(() => activation(tape, x, 'gelu' as 'relu'), ConfigError, known);
  const [gamma, beta, runningMean, runningVar] = ['g', 'b', 'm', 'v'].map((name) => counting([2], name));
  const statistics = { gamma, beta, runningMean, runningVar };
  await rejects(() => batchnorm(tape, x, statistics, { activation: 'gelu' as 'relu' }), ConfigError, known);
  await rejects(
    () => crossCorrelation(tape, x, x, { form: 'fast' as 'gram' }),
    ConfigError,
    /one of gram, direct, got fast/,
  );
  const storage = bufferOf(x);
  await rejects(
    () => tensor(storage, 'x', [4], 0, 'bf16' as 'f16'),
    ConfigError,
    /^x: precision: .* f32, f16, i32, u32, got bf16/,
  );
  await rejects(() => transient(tape.plan, 'x', [4], 'int8' as 'f16'), ConfigError, /^x: precision: .*, got int8/);
  const bn = 'none' as 'split';
  await rejects(() => new Parameters(device, [], [], { bn }), ConfigError, /^parameters: bn: .*, got none/);
  const slice = 'l2' as 'l1';
  await rejects(
    () => new Parameters(device, [], [], { slice }),
    ConfigError,
    /^parameters: slice: .* prefix, l1, got l2/,
  );
  const parameters = new Parameters(device, [parameter('w', [4, 4], () => 1)], []);
  await rejects(() => parameters.tensor('w', 'wide' as 'host'), ConfigError, /^w: width: .* host, slim, got wide/);
  parameters.dispose();
});

test.run();
