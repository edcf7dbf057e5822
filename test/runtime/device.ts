import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { DeviceError, DeviceLostError, OutOfMemoryError } from '../../src/errors.js';
import { type Device, openDevice } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { type Tensor, tensor } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { rejects } from '../rejects.js';

/** y = x + x, recorded. */
function doubling(device: Device): { plan: Plan; y: Tensor } {
  const plan = new Plan(device);
  const x = tensor(device.buffer('x', 64), 'x', [16]);
  const y = new Tape(plan).accumulate(x, x);
  plan.retain(y);
  return { plan, y };
}

const moments: Readonly<Record<string, (device: Device, lose: () => void) => unknown>> = {
  'while a read is pending': (device, lose) => {
    const pending = device.read(device.buffer('x', 1 << 20));
    lose();
    return pending;
  },
  'before a read': async (device, lose) => {
    const buffer = device.buffer('x', 64);
    lose();
    await device.read(buffer);
  },
  'before a wait': (device, lose) => {
    lose();
    return device.settled();
  },
  'before a plan is compiled': (device, lose) => {
    const { plan } = doubling(device);
    lose();
    return plan.compile();
  },
  'before a plan is run': async (device, lose) => {
    const { plan, y } = doubling(device);
    await plan.compile();
    lose();
    plan.run();
    await plan.read(y);
  },
};

for (const [moment, work] of Object.entries(moments))
  test(`a device lost ${moment} says so, and what to do`, async () => {
    const device = await openTestDevice();
    await rejects(() => work(device, () => device.gpu.destroy()), DeviceLostError, /was lost: .*; open a new device/);
    await rejects(() => device.buffer('x', 64), DeviceLostError, /was lost/);
    device.dispose();
  });

test("the caller's own device is told of its loss, which is the caller's doing", async () => {
  const owner = await openTestDevice();
  let told: DeviceLostError | undefined;
  const device = await openDevice({
    device: owner.gpu,
    onLost: (error) => {
      told = error;
    },
  });
  owner.dispose();
  await rejects(() => device.settled(), DeviceLostError, /was lost/);
  assert.instance(told, DeviceLostError);
});

test('what was freed, or is on a disposed device, is refused by name and harms nothing else', async () => {
  const device = await openTestDevice();
  const freed = device.buffer('gone', 64);
  device.free(freed);
  await rejects(() => device.read(freed), DeviceError, /^gone: used after it was freed/);
  await rejects(() => device.write(freed, new Float32Array(4)), DeviceError, /^gone: used after it was freed/);
  await rejects(
    () => {
      const plan = new Plan(device);
      new Tape(plan).accumulate(tensor(freed, 'gone', [16]), tensor(device.buffer('x', 64), 'x', [16]));
      return plan.compile();
    },
    DeviceError,
    /^gone: used after it was freed/,
  );
  await device.settled();
  device.dispose();
  await rejects(() => device.buffer('x', 64), DeviceError, /used after dispose/);
  await rejects(() => device.settled(), DeviceError, /used after dispose/);
});

test('a buffer over the limits is refused with the numbers, before it is made', async () => {
  using device = await openTestDevice();
  await rejects(() => device.buffer('w', 1e12), OutOfMemoryError, /^w: needs 1000000000000 bytes .* allows \d+/);
  assert.is(device.allocated, 0);
  await device.settled();
});

test.run();
