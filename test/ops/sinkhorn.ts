import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { ConfigError, ShapeError } from '../../src/errors.js';
import { sinkhorn } from '../../src/ops/sinkhorn.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { checkOp, upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** By definition, in f64: exponentials, scaled by their sums over columns and rows in turn. */
function reference(scores: Float64Array, P: number, { iterations = 3, epsilon = 0.05 } = {}): Float64Array {
  const N = scores.length / P;
  const most = scores.reduce((a, b) => Math.max(a, b));
  const q = scores.map((v) => Math.exp((v - most) / epsilon));
  const scale = (count: number, group: (i: number) => number, to: number) => {
    const sums = new Float64Array(count);
    q.forEach((v, i) => {
      sums[group(i)] += v;
    });
    q.forEach((v, i) => {
      q[i] = (v * to) / sums[group(i)];
    });
  };
  for (let i = 0; i < iterations; i++) {
    scale(P, (i) => i % P, 1 / P);
    scale(N, (i) => Math.floor(i / P), 1 / N);
  }
  return q.map((v) => v * N);
}

for (const form of ['alone', 'few', 'many', 'workgroup'])
  for (const [N, P] of [
    [1, 1],
    [1, 5],
    [3, 7],
    [17, 130],
    [130, 3],
    [5, 513],
    [70, 33],
  ])
    for (const options of [{}, { iterations: 1 }, { iterations: 10, epsilon: 0.5 }])
      test(`codes of ${N} x ${P}, ${JSON.stringify(options)}, ${form}`, async () => {
        await checkOp(device, 'sinkhorn', {
          variants: {
            'sinkhorn.columns': form === 'few' ? 'alone' : form,
            'sinkhorn.rows': form,
            'sinkhorn.codes': form,
          },
          inputs: { s: [N, P] },
          mean: 0.1,
          spread: 0.9,
          run: (tape, { s }) => sinkhorn(tape.plan, s, options),
          reference: ({ s }) => ({ y: reference(s, P, options) }),
        });
      });

test('scores whose exponentials no number holds still give a distribution for each row', async () => {
  const [N, P] = [33, 20];
  const data = randoms(generator(), N * P, 0, 1).map((v, i) => v + 1000 * ((Math.floor(i / P) % 3) - 1));
  using plan = new Plan(device);
  const s = upload(device, 's', [N, P], data);
  const codes = sinkhorn(plan, s, { epsilon: 0.05 });
  plan.retain(codes);
  await plan.compile();
  plan.poison();
  plan.run();
  const found = await plan.read(codes);
  for (let n = 0; n < N; n++) {
    const sum = found.subarray(n * P, (n + 1) * P).reduce((a, b) => a + b);
    assert.ok(Math.abs(sum - 1) < 1e-5, `row ${n} adds up to ${sum} (seed ${seed})`);
  }
  device.free(s);
});

test('what does not fit is refused by name', async () => {
  const plan = new Plan(device);
  const make = (...shape: number[]) => new Tape(plan).empty('s', shape);
  await rejects(
    () => sinkhorn(plan, make(4)),
    ShapeError,
    /sinkhorn: expected scores \(N, T\), all above 0, got \(4\)/,
  );
  await rejects(() => sinkhorn(plan, make(4, 3), { iterations: 0 }), ConfigError, /sinkhorn: expected iterations .* 0/);
  await rejects(() => sinkhorn(plan, make(4, 3), { epsilon: 0 }), ConfigError, /sinkhorn: expected an epsilon above 0/);
});

test.run();
