import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { DeviceError, OutOfMemoryError, ShapeError, ValidationError } from '../../src/errors.js';
import { openDevice } from '../../src/node/device/device.js';
import { add } from '../../src/ops/add.js';
import { conv2d } from '../../src/ops/conv2d.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { sliceView, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { openTestDevice, pretend } from '../device.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const make = (shape: number[]) => tensor(device.buffer('x', 4096), 'x', shape);

/** A plan of one dispatch. */
function record() {
  const plan = new Plan(device);
  const tape = new Tape(plan);
  return { plan, tape, y: tape.accumulate(make([4]), make([4])) };
}

test('a plan used out of turn says what state it is in', async () => {
  const { plan, tape, y } = record();
  await rejects(() => plan.run(), ValidationError, /^plan: expected a compiled plan to run, got one that is recording/);
  await rejects(() => plan.read(y), ValidationError, /"add\.y" has no memory: .* the plan is recording/);
  const compiled = plan.compile();
  await rejects(() => plan.compile(), ValidationError, /recording to compile, got one that is compiling/);
  await compiled;
  await rejects(() => plan.compile(), ValidationError, /recording to compile, got one that is compiled/);
  await rejects(
    () => tape.accumulate(y, y),
    ValidationError,
    /recording to record a command, got one that is compiled/,
  );
  plan.dispose();
  plan.dispose();
  await rejects(() => plan.run(), ValidationError, /got one that is disposed/);
  await rejects(() => tape.accumulate(record().y, make([4])), ValidationError, /got one that is disposed/);
});

test("a plan does not take another's memory, or a tensor of another device", async () => {
  const { tape } = record();
  await rejects(() => tape.accumulate(record().y, make([4])), ValidationError, /"add\.y" belongs to another plan/);
  const other = await openTestDevice();
  const plan = new Plan(device);
  const theirs = tensor(other.buffer('theirs', 64), 'theirs', [16]);
  await rejects(
    () => new Tape(plan).accumulate(theirs, make([16])),
    DeviceError,
    /^theirs: .* got one of another device/,
  );
  plan.dispose();
  other.dispose();
  await device.settled();
});

test('what begins where no binding may is refused by the name of the op', async () => {
  const { tape } = record();
  const storage = device.buffer('x', 1024);
  const inside = tensor(storage, 'inside', [4], 12);
  const message = /^add\.forward: expected "b" to begin at a multiple of 256 bytes, got 12; give it its own buffer/;
  await rejects(() => tape.accumulate(make([4]), inside), ValidationError, message);
  tape.accumulate(make([4]), tensor(storage, 'second', [4], 256));
});

test('a plan that needs more memory than there is says how much, and takes none', async () => {
  using small = await openDevice({ memory: 4096, onNotice: () => undefined });
  const plan = new Plan(small);
  const x = tensor(small.buffer('x', 2048), 'x', [512]);
  const tape = new Tape(plan);
  for (const y of [tape.accumulate(x, x), tape.accumulate(x, x)]) plan.retain(y);
  const message = /^plan: needs 4096 bytes in addition to 2048 in use, but .* has 4096; use a smaller batch/;
  await rejects(() => plan.compile(), OutOfMemoryError, message);
  assert.is(small.allocated, 2048);
  await small.settled();
});

test('a step that would take long is submitted in parts, which give what it gives at once', async () => {
  const x = device.tensor([1, 4, 4, 4], Math.sin);
  const w = device.tensor([4, 4, 1, 1], (i) => Math.cos(i) / 2);
  const macs = 4 * 4 * 16;
  const { queue } = device.gpu;
  const counted = queue as unknown as Record<string, unknown>;
  const submit = queue.submit.bind(queue);
  const found: { submits: number; y: Float32Array }[] = [];
  // 100 products, of which a submission takes 100 or 40
  for (const dispatchMacs of [2.5 * macs, macs]) {
    const plan = new Plan(pretend(device, { dispatchMacs }));
    const tape = new Tape(plan);
    let y: Tensor = x;
    for (let i = 0; i < 100; i++) y = conv2d(tape, y, w);
    plan.retain(y);
    await plan.compile();
    plan.poison();
    let submits = 0;
    counted.submit = (commands: GPUCommandBuffer[]) => {
      submits++;
      submit(commands);
    };
    try {
      plan.run();
    } finally {
      delete counted.submit;
    }
    found.push({ submits, y: await plan.read(y) });
    plan.dispose();
  }
  const [whole, parts] = found;
  assert.equal([whole.submits, parts.submits], [1, 3]);
  assert.ok(whole.y.every(Number.isFinite));
  assert.equal(parts.y, whole.y);
});

test('sizes that are no sizes are refused by the name of the op', async () => {
  const tape = new Tape(new Plan(device));
  await rejects(() => add(tape, make([0, 4]), make([0, 4])), ShapeError, /^add\.y: .* at least 1, got \(0, 4\)/);
  await rejects(() => conv2d(tape, make([0, 3, 8, 8]), make([4, 3, 3, 3])), ShapeError, /^conv2d.*\(0, /);
  for (const shape of [[3, 4], [2], [2, 0], [1.5, 2]])
    await rejects(
      () => sliceView(make([2, 4]), shape),
      ShapeError,
      /^sliceView: expected a leading block of x \(2, 4\)/,
    );
});

test.run();
