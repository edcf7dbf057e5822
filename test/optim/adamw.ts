import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type AdamWOptions, adamw } from '../../src/optim/adamw.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { openTestDevice, pretend } from '../device.js';
import { momentOf, train, type Update } from './trained.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

function reference(options: AdamWOptions): Update {
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 1e-4, decayAll = false } = options;
  return (tensor, gradient, step, lr) => {
    const [m, v] = [momentOf(tensor, 'first'), momentOf(tensor, 'second')];
    const wd = decayAll || tensor.shape.length > 1 ? weightDecay : 0;
    const t = step + 1;
    gradient.forEach((g, i) => {
      m[i] = beta1 * m[i] + (1 - beta1) * g;
      v[i] = beta2 * v[i] + (1 - beta2) * g * g;
      tensor.w[i] *= 1 - lr * wd;
      tensor.w[i] -= (lr * (m[i] / (1 - beta1 ** t))) / (Math.sqrt(v[i] / (1 - beta2 ** t)) + eps);
    });
  };
}

for (const options of [
  {},
  { weightDecay: 0 },
  { weightDecay: 0.3, decayAll: true },
  { beta1: 0.5, beta2: 0.9, eps: 1e-3 },
] as const)
  test(`adamw ${JSON.stringify(options)}`, () =>
    train(device, (plan, parameters) => adamw(plan, parameters, options), reference(options)));

test('adamw leaves weights without gradient or decay alone', () =>
  train(device, (plan, parameters) => adamw(plan, parameters, { weightDecay: 0 }), reference({ weightDecay: 0 }), {
    still: 3,
  }));

test('weights that one binding cannot hold are updated in several dispatches', () =>
  train(
    pretend(device, { limits: { maxStorageBufferBindingSize: 133_000 } }),
    (plan, parameters) => {
      const optimizer = adamw(plan, parameters, { weightDecay: 0.3 });
      assert.is(plan.dispatches.length, 3);
      return optimizer;
    },
    reference({ weightDecay: 0.3 }),
  ));

test('settings out of range are refused by name', () => {
  const plan = new Plan(device);
  const buffer = device.buffer('weights', 256);
  const parameters = { weights: buffer, grads: buffer, places: [], size: 64 };
  assert.throws(() => adamw(plan, parameters, { beta2: 1 }), /adamw: expected beta2 of at least 0 and below 1, got 1/);
  assert.throws(
    () => adamw(plan, parameters, { weightDecay: Number.NaN }),
    /adamw: expected weightDecay of at least 0, got NaN/,
  );
  device.free(buffer);
});

test.run();
