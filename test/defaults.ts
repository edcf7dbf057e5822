// A setting that is left out is the same in a program as on the command line: both record the same work.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { optimizers } from '../src/config/kinds.js';
import { type MethodName, methodNames, methods } from '../src/config/methods.js';
import { methodOf, trainerOptionsOf, viewsOf } from '../src/config/run.js';
import { parseConfig, type TrainConfig } from '../src/config/settings.js';
import { Parameters } from '../src/core/parameters.js';
import { Tape } from '../src/core/tape.js';
import { mobilenetV1 } from '../src/encoders/mobilenet_v1.js';
import { barlowTwins } from '../src/methods/barlow_twins.js';
import { byol } from '../src/methods/byol.js';
import { disco } from '../src/methods/disco.js';
import type { Method } from '../src/methods/method.js';
import { mocoV2 } from '../src/methods/moco_v2.js';
import { Network } from '../src/methods/network.js';
import { oss } from '../src/methods/oss.js';
import { rekd } from '../src/methods/rekd.js';
import { sacl } from '../src/methods/sacl.js';
import { saclXd } from '../src/methods/sacl_xd.js';
import { seed } from '../src/methods/seed.js';
import { sslSmall } from '../src/methods/ssl_small.js';
import { xd } from '../src/methods/xd.js';
import { linearLayer } from '../src/nn/blocks.js';
import { defaultViews } from '../src/ops/augment.js';
import { crossCorrelation } from '../src/ops/cross_correlation.js';
import { sinkhorn } from '../src/ops/sinkhorn.js';
import { adamw } from '../src/optim/adamw.js';
import { lars } from '../src/optim/lars.js';
import { sgd } from '../src/optim/sgd.js';
import { metaDevice } from '../src/runtime/meta.js';
import { Plan } from '../src/runtime/plan.js';
import { tensor, transient } from '../src/tensor/tensor.js';
import { settleOptions } from '../src/train/options.js';
import { scheduleOf } from '../src/train/schedule.js';
import { makeTeacher } from './methods/tiny.js';
import { generator } from './random.js';

/** The parameters of every dispatch that `record` makes, and all that it writes. */
function recorded(record: (plan: Plan) => void): { labels: string[]; params: number[][]; tables: number[][] } {
  const device = metaDevice();
  const tables: number[][] = [];
  device.write = (_, data) => {
    tables.push([...new Uint8Array(ArrayBuffer.isView(data) ? data.buffer : data)]);
  };
  const plan = new Plan(device);
  record(plan);
  const { dispatches } = plan;
  assert.ok(dispatches.length > 0, 'something is recorded');
  const params = dispatches.map(({ uniforms }) => [...new Uint8Array(uniforms)]);
  return { labels: dispatches.map(({ label }) => label), params, tables };
}

const config = (more: object): TrainConfig => parseConfig({ data: 'photos', ...more });
const weights = (plan: Plan) => {
  const layer = linearLayer('layer', { host: 8, slim: 8 }, 4);
  return new Parameters(plan.device, layer.parameters, layer.statistics);
};
const rows = (plan: Plan, name: string, D: number) => tensor(plan.device.buffer(name, 4 * 16 * D), name, [16, D]);

const rules = { sgd, lars, adamw };
for (const optimizer of optimizers)
  test(`${optimizer}`, () => {
    const { momentum, nesterov, weightDecay, decayAll, trust, clip, beta1, beta2, eps } = config({ optimizer });
    const settings = {
      sgd: { momentum, nesterov, weightDecay, decayAll },
      lars: { momentum, weightDecay, trust, clip },
      adamw: { beta1, beta2, eps, weightDecay, decayAll },
    };
    const left = recorded((plan) => rules[optimizer](plan, weights(plan)));
    assert.equal(
      recorded((plan) => rules[optimizer](plan, weights(plan), settings[optimizer])),
      left,
    );
    assert.equal(
      recorded((plan) => rules[optimizer](plan, weights(plan), { weightDecay: undefined })),
      left,
    );
    const other = { ...settings[optimizer], weightDecay: 0.5 };
    assert.not.equal(
      recorded((plan) => rules[optimizer](plan, weights(plan), other)),
      left,
      'a difference is seen',
    );
  });

test('the loss of correlations, at any width', () => {
  for (const projector of [32, 196, 2048]) {
    const { lambda, scale } = config({ projector });
    const loss = (options?: object) =>
      recorded((plan) =>
        crossCorrelation(new Tape(plan), rows(plan, 'a', projector), rows(plan, 'b', projector), options),
      );
    assert.equal(loss({ lambda, scale }), loss(), `D ${projector}`);
    assert.not.equal(loss({ lambda, scale: 2 * scale }), loss(), 'a difference is seen');
  }
});

test('the assignment of OSS', () => {
  const { epsilon, sinkhorn: iterations } = config({ method: 'oss' });
  const assigned = (options?: object) => recorded((plan) => sinkhorn(plan, rows(plan, 'scores', 24), options));
  assert.equal(assigned({ epsilon, iterations }), assigned());
  assert.not.equal(assigned({ epsilon: 2 * epsilon, iterations }), assigned(), 'a difference is seen');
});

const encoder = (ratio: number) => mobilenetV1({ width: 0.25, ratio, stemStride: 1, blocks: [[64, 2]] });
const [small, wide] = [encoder(1), encoder(1.5)];
const teacher = makeTeacher(metaDevice(), generator());
const bare: Readonly<Record<MethodName, () => Method>> = {
  sacl_xd: () => saclXd(wide),
  sacl: () => sacl(wide),
  xd: () => xd(small),
  barlow_twins: () => barlowTwins(small),
  moco_v2: () => mocoV2(small),
  byol: () => byol(small),
  ssl_small: () => sslSmall(small),
  seed: () => seed(small, { teacher }),
  disco: () => disco(small, { teacher }),
  rekd: () => rekd(small, wide),
  oss: () => oss(small, wide),
};

/** What a method declares and what its step records. */
function declared(method: Method) {
  const { averages = false, queues = {}, sliced } = method;
  const step = recorded((plan) => {
    const [a, b] = ['a', 'b'].map((view) => transient(plan, view, [4, 3, 16, 16]));
    method.record(new Tape(plan), new Network(plan.device, method), { a: () => a, b: () => b });
  });
  const momenta = [0, 3, 9].map((step) => method.momentum?.(step, 10));
  return { averages, queues, sliced, momenta, step };
}

for (const name of methodNames)
  test(`the settings of ${name}`, () => {
    const learning = methods[name].teacher ? { teacher: 'a file' } : {};
    const settings = config({ method: name, width: 0.25, stemStride: 1, blocks: '64/2', ...learning });
    const left = declared(bare[name]());
    const own = declared(methodOf(settings, teacher));
    assert.equal(own.step, left.step);
    if (methods[name].networks === 'sliced')
      assert.equal([own.sliced, left.sliced], [{ bn: 'split', slice: 'prefix' }, {}]); // the same, said
    assert.equal({ ...own, sliced: 0 }, { ...left, sliced: 0 });
    const other = { ...settings, projector: settings.projector + 1 };
    assert.not.equal(declared(methodOf(other, teacher)).step, left.step, 'a difference is seen');
  });

test('the options of a trainer', () => {
  const { optimizer, ...own } = settleOptions(trainerOptionsOf(config({})));
  const { optimizer: standard, ...left } = settleOptions({});
  assert.equal(own, { ...left, epochs: 100 });
  const update = (record: typeof optimizer) => recorded((plan) => record(plan, weights(plan)));
  assert.equal(update(optimizer), update(standard));
  const source = { name: 'photos', length: 1000 };
  assert.equal(scheduleOf(own, source), scheduleOf(left, source));
});

test('the random transformations of views', () => {
  for (const imageSize of [32, 64, 65, 224]) assert.equal(viewsOf(config({ imageSize })), defaultViews(imageSize));
});

test.run();
