// Queues after some steps, bit for bit: the keys of each step over the oldest ones, all else as it was.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { disco } from '../../src/methods/disco.js';
import type { Method } from '../../src/methods/method.js';
import { mocoV2 } from '../../src/methods/moco_v2.js';
import { Network } from '../../src/methods/network.js';
import { rekd } from '../../src/methods/rekd.js';
import { seed as seedMethod } from '../../src/methods/seed.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { encoder, makeTeacher, settingsOf, wide } from './tiny.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const [N, S, steps] = [6, 8, 5]; // more rows than the queue of 11 has

const random = generator();
const methods: Record<string, () => Method> = {
  moco_v2: () => mocoV2(encoder, settingsOf.moco_v2),
  disco: () => disco(encoder, { ...settingsOf.disco, teacher: makeTeacher(device, random) }),
  seed: () => seedMethod(encoder, { ...settingsOf.seed, teacher: makeTeacher(device, random) }),
  rekd: () => rekd(encoder, wide, settingsOf.rekd),
};

for (const [name, make] of Object.entries(methods))
  test(`${name}: the queue holds the keys of the last steps`, async () => {
    const method = make();
    const network = new Network(device, method);
    const { parameters } = network;
    network.initialize(random);
    const views = ['a', 'b'].map((view) => upload(device, view, [N, 3, S, S], randoms(random, N * 3 * S * S)));
    const plan = new Plan(device);
    plan.clear({ storage: parameters.grads, offset: 0, bytes: parameters.size * 4 });
    const { embeddings: watched, update } = method.record(new Tape(plan), network, {
      a: () => views[0],
      b: () => views[1],
    });
    const optimizer = sgd(plan, parameters, { momentum: 0, weightDecay: 0 });
    update?.();
    await plan.compile();
    const [queue] = Object.values(network.queues);
    const [K, D] = queue.shape;
    const expected = (await plan.read(queue)).slice(0, K * D);
    for (let n = 0; n < K; n++) {
      const length = Math.hypot(...expected.subarray(n * D, (n + 1) * D));
      assert.ok(Math.abs(length - 1) < 1e-6, `row ${n} is ${length} long (seed ${seed})`);
    }
    let last = new Float32Array();
    for (let step = 0; step < steps; step++) {
      plan.run({ step, lr: 0.05, ema: 0.5 });
      const keys = (await plan.read(watched.zB)).slice(0, N * D);
      assert.not.equal(keys, last, `the keys of step ${step} are new ones`);
      last = keys;
      for (let n = 0; n < N; n++) expected.set(keys.subarray(n * D, (n + 1) * D), ((step * N + n) % K) * D);
      assert.equal((await plan.read(queue)).slice(0, K * D), expected, `step ${step} (seed ${seed})`);
      // other images, so that a frozen teacher has other keys too
      for (const view of views) device.write(view, randoms(random, N * 3 * S * S));
    }
    for (const thing of [plan, optimizer, network]) thing.dispose();
    for (const each of views) device.free(each);
  });

test.run();
