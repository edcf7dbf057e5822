import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type SgdOptions, sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { openTestDevice, pretend } from '../device.js';
import { momentOf, train, type Update } from './trained.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

function reference({ momentum = 0.9, weightDecay = 1e-4, nesterov = false, decayAll = true }: SgdOptions): Update {
  return (tensor, gradient, step, lr) => {
    const buf = momentOf(tensor, 'momentum');
    const wd = decayAll || tensor.shape.length > 1 ? weightDecay : 0;
    gradient.forEach((d, i) => {
      const g = d + wd * tensor.w[i];
      buf[i] = step === 0 ? g : momentum * buf[i] + g;
      tensor.w[i] -= lr * (nesterov ? g + momentum * buf[i] : buf[i]);
    });
  };
}

for (const options of [
  {},
  { momentum: 0 },
  { weightDecay: 0.1, decayAll: false },
  { weightDecay: 0.1, decayAll: true },
  { nesterov: true, weightDecay: 0.05, momentum: 0.8 },
] as const)
  test(`sgd ${JSON.stringify(options)}`, () =>
    train(device, (plan, parameters) => sgd(plan, parameters, options), reference(options)));

test('weights that one binding cannot hold are updated in several dispatches', () =>
  train(
    pretend(device, { limits: { maxStorageBufferBindingSize: 133_000 } }),
    (plan, parameters) => {
      const optimizer = sgd(plan, parameters, { weightDecay: 0.1 });
      assert.is(plan.dispatches.length, 3);
      return optimizer;
    },
    reference({ weightDecay: 0.1 }),
  ));

test('settings out of range are refused by name', () => {
  const plan = new Plan(device);
  const buffer = device.buffer('weights', 256);
  const parameters = { weights: buffer, grads: buffer, places: [], size: 64 };
  assert.throws(
    () => sgd(plan, parameters, { momentum: 1 }),
    /sgd: expected momentum of at least 0 and below 1, got 1/,
  );
  assert.throws(() => sgd(plan, parameters, { weightDecay: -1 }), /sgd: expected weightDecay of at least 0, got -1/);
  assert.throws(() => sgd(plan, parameters, { momentum: 0, nesterov: true }), /momentum above 0 with nesterov/);
  device.free(buffer);
});

test.run();
