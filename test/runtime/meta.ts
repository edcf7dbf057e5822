import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { DeviceError } from '../../src/errors.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { metaDevice } from '../../src/runtime/meta.js';
import { Plan } from '../../src/runtime/plan.js';
import { statsOf } from '../../src/runtime/stats.js';
import { tensor, transient } from '../../src/tensor/tensor.js';
import { rejects } from '../rejects.js';

/** A convolution and its backward, in a phase, recorded where there is no adapter. */
function record() {
  const device = metaDevice();
  const plan = new Plan(device);
  const tape = new Tape(plan);
  const weight = tensor(device.buffer('weight', 4 * 54), 'weight', [2, 3, 3, 3]);
  const grad = tensor(device.buffer('grad', 4 * 54), 'grad', [2, 3, 3, 3]);
  device.write(weight, new Float32Array(54));
  const x = transient(plan, 'x', [1, 3, 8, 8]);
  const y = plan.phase('layer', () => conv2d(tape, x, { ...weight, grad }, { stride: 2, padding: 1 }));
  tape.backward(y, transient(plan, 'dy', y.shape));
  return { device, plan, tape, x, y, weight };
}

test('a plan is recorded without an adapter: its dispatches, phases and memory can be read', () => {
  const { device, plan, x, y } = record();
  const products = plan.dispatches.filter(({ macs }) => macs > 0).map(({ phase, macs }) => [phase, macs]);
  assert.equal(products, [
    ['layer', 2 * 16 * 27],
    ['backward/layer', 2 * 16 * 27],
  ]);
  assert.ok(statsOf(plan).heldBytes >= x.bytes + y.bytes);
  assert.is(device.allocated, 2 * 224);
});

test('a tape tells every op: its inputs, its output, its settings and its phase', () => {
  const { tape, x, y, weight } = record();
  const [{ inputs, output, ...operation }] = tape.operations;
  assert.equal(operation, { op: 'conv2d', attributes: { stride: 2, padding: 1 }, phase: 'layer' });
  assert.equal([inputs[0], inputs[1].storage, output], [x, weight.storage, y]);
});

test('a plan without an adapter refuses to be compiled, and says why', async () => {
  const { plan } = record();
  await rejects(() => plan.compile(), DeviceError, /a meta device has no adapter.*openDevice/);
});

test.run();
