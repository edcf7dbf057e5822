// What a step computes, as its plan says, against what the encoders' tables predict.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config.js';
import { ledgerOf } from '../../src/cost/ledger.js';
import { forwards, methodPasses, type Passes } from '../../src/cost/passes.js';
import { workOf } from '../../src/cost/work.js';
import type { Method } from '../../src/methods/method.js';
import { methods } from '../../src/methods/methods.js';
import { Network } from '../../src/methods/network.js';
import { sequential } from '../../src/nn/module.js';
import type { Device } from '../../src/runtime/device.js';
import { metaDevice } from '../../src/runtime/meta.js';
import { Plan } from '../../src/runtime/plan.js';
import { transient } from '../../src/tensor.js';
import { openTestDevice } from '../device.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const encoders = {
  'mobilenet_v1 of three blocks': { encoder: 'mobilenet_v1', width: 0.25, blocks: '64/1 128/2 128/1' },
  mobilenet_v3_large: { encoder: 'mobilenet_v3_large', width: 0.5 },
  efficientnet_b0: { encoder: 'efficientnet_b0', width: 0.5 },
  resnet20: { encoder: 'resnet20', width: 0.5 },
  resnet50: { encoder: 'resnet50', width: 0.25, imageSize: 64 },
};
const N = 8;

/** The dispatches of a step up to the gradients. */
function record(on: Device, config: ReturnType<typeof parseConfig>) {
  const method: Method = methods[config.method](config);
  const network = new Network(on, method);
  const plan = new Plan(on);
  const shape = [config.batch, 3, config.imageSize, config.imageSize];
  method.record(plan, network, { a: transient(plan, 'a', shape), b: transient(plan, 'b', shape) });
  const { dispatches } = plan;
  plan.dispose();
  network.dispose();
  return { method, dispatches };
}

for (const method of Object.keys(methods) as (keyof typeof methods)[])
  for (const [name, encoder] of Object.entries(encoders))
    test(`${method} of ${name}: the plan's dispatches are what the tables predict, to the last multiply-add`, () => {
      const config = parseConfig({ data: 'none', projector: 48, batch: N, method, ...encoder });
      const { method: recorded, dispatches } = record(device, config);
      const { parts, flops, byRule } = ledgerOf(dispatches);
      const loss = parts.find((part) => part.name === 'loss') ?? { forward: 0, backward: 0 };

      let predicted = 0;
      let rule = 0;
      for (const [role, passes] of Object.entries(methodPasses[method]) as ['host' | 'slim', Passes][]) {
        const network = sequential(recorded.encoders[role], ...recorded.heads);
        const { macs, first } = workOf(network, recorded.sliced ? role : 'host', [
          N,
          3,
          config.imageSize,
          config.imageSize,
        ]);
        predicted += 2 * (forwards(passes) * macs - passes.trained * first);
        rule += 2 * forwards(passes) * macs;
        const own = parts.filter((part) => part.name.endsWith(role));
        if (recorded.sliced) {
          const [trained] = own.filter((part) => part.name === role);
          assert.is(trained.forward, 2 * macs, `${role}: forward`);
          assert.is(trained.backward, 2 * (2 * macs - first), `${role}: backward, without the gradient of the picture`);
          assert.is(own.length, passes.trained + passes.frozen, `${role}: passes`);
        }
      }
      assert.is(flops - loss.forward - loss.backward, predicted, 'recorded');
      assert.is(byRule - loss.forward - loss.backward, rule, 'by the rule');
    });

test('a step has one ledger, whatever kernels an adapter gets', () => {
  for (const encoder of Object.values(encoders)) {
    const config = parseConfig({ data: 'none', projector: 48, batch: N, ...encoder });
    const [own, none] = [device, metaDevice()].map((on) => ledgerOf(record(on, config).dispatches));
    assert.equal(own, none);
  }
});

test('the loss of N embeddings (N, D) takes a Gram matrix a batch, and a product a gradient', () => {
  const [D, F] = [48, 32];
  const config = parseConfig({ data: 'none', projector: D, batch: N, ...encoders['mobilenet_v1 of three blocks'] });
  const { parts } = ledgerOf(record(device, config).dispatches);
  const [z, gradients, features] = [4, 2, 2];
  assert.equal(parts.at(-1), { name: 'loss', forward: 2 * N * N * ((z + gradients) * D + features * F), backward: 0 });
});

test.run();
