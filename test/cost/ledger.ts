// What a step computes, as its plan says, against what the encoders' tables predict.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { methodNames, methods } from '../../src/config/methods.js';
import { methodOf } from '../../src/config/run.js';
import { parseConfig, type TrainConfig } from '../../src/config/settings.js';
import { Tape } from '../../src/core/tape.js';
import { workOf } from '../../src/cost/work.js';
import type { Method } from '../../src/methods/method.js';
import { Network } from '../../src/methods/network.js';
import type { Passes, Role } from '../../src/methods/settings.js';
import type { Teacher } from '../../src/methods/teacher.js';
import { sequential } from '../../src/nn/module.js';
import type { Device } from '../../src/runtime/device.js';
import { type LedgerPart, ledgerOf } from '../../src/runtime/ledger.js';
import { metaDevice } from '../../src/runtime/meta.js';
import { Plan } from '../../src/runtime/plan.js';
import { transient } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { makeTeacher } from '../methods/tiny.js';
import { generator } from '../random.js';

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

/** What a method needs to be told of a teacher. */
const taught = (method: string) => (['seed', 'disco'].includes(method) ? { teacher: 'teacher.safetensors' } : {});

/** The dispatches of a step up to the gradients. */
function record(on: Device, config: TrainConfig) {
  const teacher = makeTeacher(on, generator());
  const method = methodOf(config, teacher);
  const network = new Network(on, method);
  const plan = new Plan(on);
  const shape = [config.batch, 3, config.imageSize, config.imageSize];
  method.record(new Tape(plan), network, {
    a: () => transient(plan, 'a', shape),
    b: () => transient(plan, 'b', shape),
  });
  const { dispatches } = plan;
  plan.dispose();
  network.dispose();
  teacher.parameters.dispose();
  return { method, teacher, dispatches };
}

const isLoss = ({ name }: LedgerPart) => name.split('/').at(-1) === 'loss';

/** The modules that a trained and a frozen pass go through, and at which width. */
function through(role: Role, { encoders, heads, sliced }: Method, teacher: Teacher) {
  const [head, second] = heads;
  if (role === 'teacher') {
    // trained along as the host of a method with two encoders, or given
    const modules = encoders.host === encoders.slim ? [teacher.backbone] : [encoders.host, second];
    return { width: 'host' as const, trained: modules, frozen: modules };
  }
  const hasPredictor = encoders.host === encoders.slim && second?.parameters[0].name.startsWith('predictor');
  const frozen = [encoders[role], head];
  return { width: sliced ? role : ('host' as const), trained: hasPredictor ? [...frozen, second] : frozen, frozen };
}

for (const method of methodNames)
  for (const [name, encoder] of Object.entries(encoders))
    test(`${method} of ${name}: the plan's dispatches are what the tables predict, to the last multiply-add`, () => {
      const config = parseConfig({ data: 'none', projector: 48, batch: N, method, ...taught(method), ...encoder });
      const { method: recorded, teacher, dispatches } = record(device, config);
      const { parts } = ledgerOf(dispatches);
      const { flops, byRule } = ledgerOf(dispatches.filter(({ phase }) => !phase.endsWith('loss')));
      const shape = [N, 3, config.imageSize, config.imageSize];

      let [predicted, rule] = [0, 0];
      for (const [role, { trained = 0, frozen = 0 }] of Object.entries(methods[method].passes) as [Role, Passes][]) {
        const networks = through(role, recorded, teacher);
        const live = workOf(sequential(...networks.trained), networks.width, shape);
        const still = workOf(sequential(...networks.frozen), networks.width, shape);
        predicted += 2 * (trained * (3 * live.macs - live.first) + frozen * still.macs);
        rule += 2 * (3 * trained * live.macs + frozen * still.macs);
        if (!recorded.sliced) continue;
        const [own] = parts.filter((part) => part.name === role);
        assert.is(own.forward, 2 * live.macs, `${role}: forward`);
        assert.is(
          own.backward,
          2 * (2 * live.macs - live.first),
          `${role}: backward, but for the gradient of the image`,
        );
        assert.is(parts.filter((part) => part.name === `frozen ${role}`).length, frozen, `${role}: frozen passes`);
      }
      assert.is(flops, predicted, 'recorded');
      assert.is(byRule, rule, 'by the rule');
      assert.ok(parts.some(isLoss) || method === 'byol', 'the loss is told apart');
    });

test('whatever a step does, products alone have multiply-adds, and everything moves bytes', () => {
  const isProduct = (label: string) =>
    /^(conv2d|depthwise|pointwise|matmul|contrastive_logits)/.test(label) && !/(_sum|_partials)$/.test(label);
  for (const method of methodNames) {
    const config = parseConfig({
      data: 'none',
      projector: 48,
      batch: N,
      method,
      ...taught(method),
      ...encoders.mobilenet_v3_large,
    });
    const { dispatches } = record(device, config);
    for (const { label, macs, bytes } of dispatches) {
      assert.is(macs > 0, isProduct(label), `${method}: ${label} has ${macs} multiply-adds`);
      assert.ok(bytes > 0, `${method}: ${label} moves ${bytes} bytes`);
    }
  }
});

test('a step has one ledger, whatever kernels an adapter gets', () => {
  for (const method of methodNames) {
    const config = parseConfig({
      data: 'none',
      projector: 48,
      batch: N,
      method,
      ...taught(method),
      ...encoders.resnet20,
    });
    const [own, none] = [device, metaDevice()].map((on) => ledgerOf(record(on, config).dispatches));
    assert.equal(own, none, method);
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
