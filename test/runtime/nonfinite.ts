// Debug level 2: the first command that writes a NaN or an infinity is named, and nothing else is taken for one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { record as recordStep } from '../../src/core/record.js';
import { Tape } from '../../src/core/tape.js';
import { NonFiniteError } from '../../src/errors.js';
import { nonfinite as kernel } from '../../src/generated/nonfinite.js';
import { metaDevice } from '../../src/index.js';
import { div, log, mul } from '../../src/ops/elementwise.js';
import { Debug } from '../../src/runtime/debug.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { Readback } from '../../src/runtime/readback.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { rejects } from '../rejects.js';

let device: Device;
const printed: string[] = [];
test.before(async () => {
  device = await openTestDevice({ debug: new Debug(2, (text) => printed.push(text)) });
});
test.after(() => device.dispose());

/** A compiled plan of what `ops` record, its result kept, on poisoned memory. */
async function record(ops: (tape: Tape) => Tensor): Promise<{ plan: Plan; y: Tensor }> {
  const plan = new Plan(device);
  const y = ops(new Tape(plan));
  plan.retain(y);
  await plan.compile();
  plan.poison();
  return { plan, y };
}

/** (2, 3) numbers and what they are divided by; zero by zero is a NaN on every adapter. */
const quotient = (tape: Tape): Tensor => {
  const x = device.tensor([2, 3], [1, 2, 3, 4, 0, 0], { label: 'x' });
  const by = device.tensor([2, 3], [1, 1, 1, 1, 0, 0], { label: 'by' });
  return div(tape, mul(tape, x, 2), by);
};

test('the first command that makes a NaN is named: phase, tensor, place, and that its input was finite', async () => {
  const { plan, y } = await record((tape) =>
    tape.plan.phase('backward', () => tape.plan.phase('host', () => mul(tape, quotient(tape), 3))),
  );
  for (let i = 0; i < 3; i++) {
    plan.run();
    const message =
      /^plan: command 1, elementwise\.\w+ in phase backward\/host, wrote to y4, "div\.y" \(2, 3\), 2 NaN of 6 numbers, the first at \(1, 1\); all that it read was finite$/;
    await rejects(() => plan.read(y), NonFiniteError, message);
  }
  // it is thrown once for a run: what was written can be looked at
  assert.ok(Number.isNaN((await plan.read(y))[4]));
  plan.dispose();
});

test('a logarithm of negative numbers is reported as the adapter computes it', async () => {
  using plain = await openTestDevice();
  const numbers = [1, -2, -3];
  using step = await recordStep(plain, (tape) => ({ y: log(tape, plain.tensor([3], numbers)) }));
  step.run();
  // WGSL leaves the logarithm of a negative number to the adapter: most give a NaN
  const bad = [...(await step.read('y'))].filter((value) => !Number.isFinite(value)).length;
  const { plan } = await record((tape) => log(tape, device.tensor([3], numbers)));
  plan.run();
  const found = await device.settled().catch((error: Error) => error.message);
  if (bad === 0) assert.is(found, undefined);
  else assert.match(found ?? '', `wrote to y4, "log.y" (3), ${bad} NaN of 3 numbers, the first at (1); all`);
  plan.dispose();
});

test('a division by zero is an infinity, a zero by zero a NaN', async () => {
  const a = device.tensor([4], [1, 0, -1, 6], { label: 'a' });
  const b = device.tensor([4], [1, 0, 0, 3], { label: 'b' });
  const { plan } = await record((tape) => div(tape, a, b));
  plan.run();
  const message =
    /elementwise\.\w+, wrote to y4, "div\.y" \(4\), 1 NaN and 1 infinite of 4 numbers, the first at \(1\); all/;
  await rejects(() => device.settled(), NonFiniteError, message);
  plan.dispose();
});

test('inputs that were bad before are named with their tensors', async () => {
  const x = device.tensor([2, 2], [1, 2, Number.NaN, Number.NEGATIVE_INFINITY], { label: 'weights' });
  const { plan } = await record((tape) => mul(tape, x, 2));
  plan.run();
  const bad = '1 NaN and 1 infinite of 4 numbers, the first at (1, 0)';
  const error = await device.settled().catch((thrown) => thrown);
  assert.instance(error, NonFiniteError);
  assert.match(error.message, `, wrote to y4, "scale.y" (2, 2), ${bad}; before it, x4, "weights" (2, 2), had ${bad}`);
  plan.dispose();
});

test('the next run throws what nobody waited for', async () => {
  const { plan } = await record(quotient);
  plan.run();
  await device.gpu.queue.onSubmittedWorkDone();
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setTimeout(resolve, 1));
  await rejects(() => plan.run(), NonFiniteError, /"div\.y" \(2, 3\), 2 NaN of 6 numbers/);
  plan.dispose();
});

test('numbers of half precision are checked one by one', async () => {
  if (!device.features.has('shader-f16')) {
    assert.ok(!metaDevice(device).features.has('shader-f16'));
    return;
  }
  const x = device.tensor([3, 1, 1, 1], [1, 60000, 3], { dtype: 'f16', label: 'half' });
  const { plan } = await record((tape) => mul(tape, x, x));
  plan.run();
  await rejects(
    () => device.settled(),
    NonFiniteError,
    /"mul\.y" .* 1 infinite of 3 numbers, the first at \(1, 0, 0, 0\)/,
  );
  plan.dispose();
});

test('poison, padding and a gradient that was bad before are no alarm', async () => {
  const x = device.tensor([5], [1, 2, 3, 4, 5], { label: 'x' });
  const w = device.parameter([5], [1, 2, 3, 4, 5], { label: 'w' });
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const y = mul(tape, x, w);
  const dy = device.tensor([5], 1);
  tape.backward(y, dy);
  plan.retain(y);
  await plan.compile();
  const readback = new Readback(device, 'y', { y: { ...plan.resolve(y), bytes: 20 } });
  for (let i = 0; i < 2; i++) {
    plan.poison();
    plan.run();
    assert.equal([...(await readback.snapshot()).y], [1, 4, 9, 16, 25]);
  }
  assert.equal([...(await w.grad.read())], [2, 4, 6, 8, 10]);
  x.write([1, 2, 3, 4, Number.NaN]);
  plan.run();
  await rejects(() => readback.snapshot(), NonFiniteError, /1 NaN of 5 numbers, the first at \(4\)/);
  assert.ok(Number.isNaN((await readback.snapshot()).y[4])); // the staging buffer is free again
  readback.dispose();
  plan.dispose();
});

test('what a plan is poisoned with is the mark of the checks', async () => {
  const { plan, y } = await record((tape) => mul(tape, device.tensor([4], 1), 2));
  const { buffer } = plan.resolve(y);
  assert.equal(new Uint32Array(await device.read(buffer)), new Uint32Array(4).fill(kernel.consts.MARK.value));
  plan.dispose();
});

test('plans of trials are neither printed nor checked', async () => {
  const before = printed.length;
  const plan = new Plan(device, { substitute: (binding) => binding });
  log(new Tape(plan), device.tensor([1], -1));
  await plan.compile();
  plan.run();
  await device.settled();
  assert.is(printed.length, before);
  plan.dispose();
});

test.run();
