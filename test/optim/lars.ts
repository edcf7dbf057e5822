import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type LarsOptions, lars } from '../../src/optim/lars.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { openTestDevice, pretend } from '../device.js';
import { momentOf, train, type Update } from './trained.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const norm = (values: Float64Array) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

function reference({ momentum = 0.9, weightDecay = 1e-4, trust = 0.02, clip = true }: LarsOptions): Update {
  return (tensor, gradient, step, lr) => {
    const buf = momentOf(tensor, 'momentum');
    const [w, g] = [norm(tensor.w), norm(gradient)];
    const adapted = tensor.shape.length > 1 && w > 0 && g > 0;
    const ratio = (trust * w) / (g + weightDecay * w + 1e-8);
    const q = !adapted ? 1 : clip ? Math.min(ratio / lr, 1) : ratio;
    gradient.forEach((d, i) => {
      const scaled = (d + (adapted ? weightDecay * tensor.w[i] : 0)) * q;
      buf[i] = step === 0 ? scaled : momentum * buf[i] + scaled;
      tensor.w[i] -= lr * buf[i];
    });
  };
}

for (const options of [
  {},
  { trust: 1e-3, clip: false, weightDecay: 0 },
  { weightDecay: 0.1, momentum: 0.5, trust: 0.5 },
  { clip: true, trust: 1 },
])
  for (const still of [-1, 3])
    test(`lars ${JSON.stringify(options)}${still < 0 ? '' : ', one tensor without gradient'}`, () =>
      train(device, (plan, parameters) => lars(plan, parameters, options), reference(options), { still }));

test('a learning rate of 0 moves nothing and poisons nothing, clipped or not', async () => {
  for (const clip of [true, false])
    await train(
      device,
      (plan, parameters) => lars(plan, parameters, { clip, trust: 0.02 }),
      reference({ clip, trust: 0.02 }),
      {
        lrs: [0, 0.1, 0],
      },
    );
});

test('weights that one binding cannot hold are updated in several dispatches', () =>
  train(
    pretend(device, { limits: { maxStorageBufferBindingSize: 133_000 } }),
    (plan, parameters) => {
      const optimizer = lars(plan, parameters, { weightDecay: 0.1, trust: 0.02, clip: true });
      assert.is(plan.dispatches.length, 6);
      return optimizer;
    },
    reference({ weightDecay: 0.1, trust: 0.02, clip: true }),
  ));

test('settings out of range are refused by name', () => {
  const plan = new Plan(device);
  const buffer = device.buffer('weights', 256);
  const parameters = { weights: buffer, grads: buffer, places: [], size: 64 };
  assert.throws(
    () => lars(plan, parameters, { momentum: -0.1 }),
    /lars: expected momentum of at least 0 and below 1, got -0.1/,
  );
  assert.throws(() => lars(plan, parameters, { trust: -1 }), /lars: expected trust of at least 0, got -1/);
  device.free(buffer);
});

test.run();
