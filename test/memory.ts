// What a training step will hold, from the recorded plan, before any of it is allocated.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../src/core/tape.js';
import { mobilenetV1 } from '../src/encoders/mobilenet_v1.js';
import { Network } from '../src/methods/network.js';
import { saclXd } from '../src/methods/sacl_xd.js';
import { lars } from '../src/optim/lars.js';
import type { Device } from '../src/runtime/device.js';
import { Plan } from '../src/runtime/plan.js';
import { statsOf } from '../src/runtime/stats.js';
import { transient } from '../src/tensor/tensor.js';
import { openTestDevice } from './device.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const GiB = 2 ** 30;

/** SACL + XD of MobileNet-V1 1.5x-1x on 256 pairs of 32 px, stem at full resolution, projector 2048, LARS: never compiled. */
function record(recompute: boolean) {
  const before = device.allocated;
  const method = saclXd(mobilenetV1({ ratio: 1.5, stemStride: 1 }));
  const network = new Network(device, method);
  const plan = new Plan(device);
  const shape = [256, 3, 32, 32];
  const views = { a: transient(plan, 'a', shape), b: transient(plan, 'b', shape) };
  method.record(new Tape(plan, { recompute }), network, { a: () => views.a, b: () => views.b });
  const optimizer = lars(plan, network.parameters, { weightDecay: 1e-4, trust: 0.02, clip: true, momentum: 0.9 });
  const stats = statsOf(plan);
  const all = stats.heldBytes + device.allocated - before;
  for (const part of [optimizer, plan, network]) part.dispose();
  return { ...stats, all };
}

test('batch 256 of MobileNet-V1 1.5x at 32 px takes at most 2.5 GiB, and under 1.5 GiB with recompute', () => {
  const kept = record(false);
  const remade = record(true);
  assert.ok(kept.all <= 2.5 * GiB, `${kept.all / GiB} GiB`);
  assert.ok(remade.all < 1.5 * GiB, `${remade.all / GiB} GiB with recompute`);
  assert.ok(remade.dispatches > kept.dispatches, 'what is not kept is made again');
  for (const { heldBytes, peakBytes, largestBinding } of [kept, remade]) {
    assert.ok(heldBytes <= 1.25 * peakBytes, `${heldBytes} bytes held for ${peakBytes} live at once`);
    assert.ok(largestBinding <= 2 ** 27, `a binding of ${largestBinding} bytes`);
  }
});

test.run();
