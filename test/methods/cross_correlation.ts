// The methods on correlations against each other: settings at which two of them are one.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import type { Encoder } from '../../src/encoders/encoder.js';
import { mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { ConfigError } from '../../src/errors.js';
import { barlowTwins } from '../../src/methods/barlow_twins.js';
import {
  type CorrelationSettings,
  type CrossCorrelationOptions,
  type LossSettings,
  minimizeCrossCorrelation,
} from '../../src/methods/cross_correlation.js';
import type { Method } from '../../src/methods/method.js';
import { minimize } from '../../src/methods/minimize.js';
import { embedder, Network } from '../../src/methods/network.js';
import { sacl } from '../../src/methods/sacl.js';
import { type SaclXdSettings, saclXd } from '../../src/methods/sacl_xd.js';
import { xd } from '../../src/methods/xd.js';
import { projector } from '../../src/nn/projector.js';
import { add } from '../../src/ops/add.js';
import { detach } from '../../src/ops/copy.js';
import { crossCorrelation } from '../../src/ops/cross_correlation.js';
import { scale } from '../../src/ops/elementwise.js';
import type { Device } from '../../src/runtime/device.js';
import { metaDevice } from '../../src/runtime/meta.js';
import { Plan } from '../../src/runtime/plan.js';
import { type Tensor, transient } from '../../src/tensor/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const encoder = (ratio: number) => {
  const blocks = [
    [64, 1],
    [128, 2],
  ] as const;
  return mobilenetV1({ width: 0.25, ratio, stemStride: 1, blocks });
};

/** One step of a method on given views, up to the gradients. */
async function gradientsOf(
  methodOf: (encoder: Encoder, settings: CorrelationSettings) => Method,
  ratio: number,
  loss: LossSettings,
) {
  const random = generator();
  const method = methodOf(encoder(ratio), { projector: 24, ...loss });
  const network = new Network(device, method);
  network.initialize(random);
  const shape = [8, 3, 12, 12];
  const pixels = 8 * 3 * 12 * 12;
  const views = {
    a: upload(device, 'a', shape, randoms(random, pixels)),
    b: upload(device, 'b', shape, randoms(random, pixels)),
  };
  const plan = new Plan(device);
  plan.clear({ storage: network.parameters.grads, offset: 0, bytes: network.parameters.size * 4 });
  const objective = method.record(new Tape(plan), network, { a: () => views.a, b: () => views.b });
  await plan.compile();
  plan.poison();
  plan.run();
  const gradients = new Float32Array(await device.read(network.parameters.grads));
  const log = objective.summarize({ metrics: await plan.read(objective.metrics.metrics) });
  const stats = new Map([...(await network.parameters.read())].filter(([name]) => /^(host|slim)\./.test(name)));
  for (const thing of [plan, network]) thing.dispose();
  for (const each of [views.a, views.b]) device.free(each);
  return { gradients, log, stats };
}

test('xd without frozen passes equals the method with them at ratio 1', async () => {
  const settings = { alpha: 0.6, lambda: 0.02, scale: 0.5 };
  const frozen = await gradientsOf(saclXd, 1, settings);
  const short = await gradientsOf(xd, 1, settings);
  close(
    [short.log.loss, short.log.sacl, short.log.xd],
    [frozen.log.loss, frozen.log.sacl, frozen.log.xd],
    'loss and its parts',
    1e-6,
  );
  close(short.gradients, frozen.gradients, 'gradients', 1e-5);
});

test('with xd inner each encoder is distilled from its own embedding, as a sum of losses on the tape has it', async () => {
  const inner = (encoder: Encoder, settings: SaclXdSettings) => saclXd(encoder, { ...settings, xd: 'inner' });
  const settings = { alpha: 0.6, lambda: 0.02, scale: 0.5 };
  const at1 = await gradientsOf(inner, 1, settings);
  const lone = await gradientsOf(xd, 1, settings);
  close(at1.gradients, lone.gradients, 'at ratio 1 it is xd', 1e-5);

  /** The same loss of ops that are tested by themselves. */
  const summed = (encoder: Encoder, { projector: D = 0, alpha = 0, ...loss }: CorrelationSettings): Method => {
    const head = projector(encoder.features, D);
    const embed = embedder(encoder, head);
    return {
      encoders: { host: encoder, slim: encoder },
      sliced: {},
      heads: [head],
      record(tape, network, views) {
        const a = embed(network.pass(tape, 'host'), views.a());
        const b = embed(network.pass(tape, 'slim'), views.b());
        const of = (u: Tensor, v: Tensor, weight: number) =>
          scale(tape, crossCorrelation(tape, u, v, loss).loss, weight);
        const total = add(
          tape,
          of(a.z, b.z, alpha),
          add(tape, of(a.z, detach(tape, a.z), (1 - alpha) / 2), of(b.z, detach(tape, b.z), (1 - alpha) / 2)),
        );
        return minimize(tape, { metrics: total }, { embeddings: { zA: a.z, zB: b.z } });
      },
    };
  };
  const found = await gradientsOf(inner, 1.5, settings);
  const expected = await gradientsOf(summed, 1.5, settings);
  close([found.log.loss], [expected.log.loss], 'loss', 1e-5);
  close(found.gradients, expected.gradients, 'gradients', 2e-5);
  const cross = await gradientsOf(saclXd, 1.5, settings);
  assert.ok(
    cross.gradients.some((value, i) => Math.abs(value - found.gradients[i]) > 1e-4),
    'cross is another loss',
  );
});

test('barlow_twins is sacl at ratio 1 and alpha 1', async () => {
  const settings = { lambda: 0.02, scale: 0.5 };
  const twins = await gradientsOf(barlowTwins, 1, settings);
  const lone = await gradientsOf(sacl, 1, settings);
  assert.ok(twins.gradients.some((value) => value !== 0));
  close([twins.log.loss], [lone.log.loss], 'loss', 1e-6);
  close(twins.gradients, lone.gradients, 'gradients', 1e-5);
});

test('frozen passes leave running statistics alone', async () => {
  const settings = { lambda: 0.02, scale: 0.5 };
  const once = await gradientsOf(saclXd, 1.5, { ...settings, alpha: 0.5 });
  const without = await gradientsOf(sacl, 1.5, settings);
  assert.equal([...once.stats], [...without.stats]);
  assert.ok([...once.stats].some(([name, { data }]) => name.endsWith('mean') && data.some((value) => value !== 0)));
});

test('only alpha decides how much of the gradient is distillation', async () => {
  const at = (alpha: number) => gradientsOf(saclXd, 1.5, { alpha, lambda: 0.02, scale: 0.5 });
  const [none, half, all] = [await at(0), await at(0.5), await at(1)];
  close(
    half.gradients,
    none.gradients.map((g, i) => (g + all.gradients[i]) / 2),
    'linear in alpha',
    1e-5,
  );
  const alone = await gradientsOf(sacl, 1.5, { lambda: 0.02, scale: 0.5 });
  close(all.gradients, alone.gradients, 'alpha = 1 is sacl', 1e-6);
});

test('a share of distillation is refused that there is nothing to give to', () => {
  const plan = new Plan(metaDevice());
  const parts = () => {
    const [features, z] = [6, 4].map((D) => transient(plan, 'z', [8, D]));
    const tape = new Tape(plan);
    return { tape, live: { a: { features, z: tape.requireGrad(z) }, b: { features, z: tape.requireGrad(z) } } };
  };
  const refused = (options: CrossCorrelationOptions, message: RegExp) => {
    const { tape, live } = parts();
    assert.throws(
      () => minimizeCrossCorrelation(tape, live, options),
      (error: Error) => error instanceof ConfigError && message.test(error.message),
    );
  };
  refused(
    { alpha: 0.5 },
    /^minimizeCrossCorrelation: expected alpha 1 without frozen twins to weigh, got 0\.5; leave it out, or give/,
  );
  refused({ alpha: Number.NaN }, /^minimizeCrossCorrelation: expected alpha to be a number from 0 to 1, got NaN/);
  refused({ alpha: 1.01 }, /expected alpha to be a number from 0 to 1, got 1\.01/);
});

test('what is not said of the loss is as in the paper', async () => {
  const [left, given] = [{}, { alpha: 0.95, lambda: 0.0051, scale: 196 / 24 }];
  for (const [method, ratio] of [
    [saclXd, 1.5],
    [xd, 1],
  ] as const) {
    const [own, same] = [await gradientsOf(method, ratio, left), await gradientsOf(method, ratio, given)];
    assert.equal(own.log, same.log);
    assert.equal(own.gradients, same.gradients);
  }
});

test.run();
