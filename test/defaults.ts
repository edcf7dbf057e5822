// A setting that is left out is the same in a program as on the command line: both record the same work.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { optimizers } from '../src/config/kinds.js';
import { viewsOf } from '../src/config/run.js';
import { parseConfig, type TrainConfig } from '../src/config.js';
import { defaultViews } from '../src/data/augment.js';
import { dense } from '../src/nn/blocks.js';
import { crossCorrelation } from '../src/ops/cross_correlation.js';
import { sinkhorn } from '../src/ops/sinkhorn.js';
import { adamw } from '../src/optim/adamw.js';
import { lars } from '../src/optim/lars.js';
import { sgd } from '../src/optim/sgd.js';
import { Parameters } from '../src/parameters.js';
import { metaDevice } from '../src/runtime/meta.js';
import { Plan } from '../src/runtime/plan.js';
import { Tape } from '../src/tape.js';
import { tensor } from '../src/tensor.js';

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
  const layer = dense('layer', { host: 8, slim: 8 }, 4);
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

test('the random transformations of views', () => {
  for (const imageSize of [32, 64, 65, 224]) assert.equal(viewsOf(config({ imageSize })), defaultViews(imageSize));
});

test.run();
