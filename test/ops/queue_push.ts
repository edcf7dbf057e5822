import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ShapeError } from '../../src/errors.js';
import { queuePush } from '../../src/ops/queue_push.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { tensor } from '../../src/tensor/tensor.js';
import { upload } from '../check.js';
import { openTestDevice } from '../device.js';
import { generator, randoms, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

for (const [N, K, D] of [
  [1, 1, 1],
  [1, 5, 7],
  [3, 5, 7],
  [5, 5, 3],
  [17, 513, 130],
  [64, 70, 2],
])
  test(`each batch over the oldest keys, round and round: ${N} of ${K}, D ${D}`, async () => {
    const random = generator();
    const kept = randoms(random, K * D);
    const queue = upload(device, 'queue', [K, D], kept);
    const rows = upload(device, 'rows', [N, D], new Float32Array(N * D));
    using plan = new Plan(device);
    queuePush(plan, queue, rows);
    await plan.compile();
    const around = Math.ceil(K / N) + 2;
    for (const step of [...Array.from({ length: Math.min(around, 40) }, (_, i) => i), 1_000_003, 2 ** 32 - 1]) {
      const fresh = randoms(random, N * D);
      device.write(rows, fresh);
      plan.run({ step });
      for (let n = 0; n < N; n++) {
        const at = Number((BigInt(step) * BigInt(N) + BigInt(n)) % BigInt(K));
        kept.set(fresh.subarray(n * D, (n + 1) * D), at * D);
      }
      assert.equal(await plan.read(queue), kept, `step ${step} (seed ${seed})`);
    }
    for (const each of [queue, rows]) device.free(each);
  });

test('shapes that do not fit are refused by name', async () => {
  const plan = new Plan(device);
  const make = (...shape: number[]) => tensor(device.buffer('x', 64), 'x', shape);
  await rejects(
    () => queuePush(plan, make(4), make(1, 4)),
    ShapeError,
    /queuePush: expected queue \(Q, D\), all above 0, got \(4\)/,
  );
  for (const [rows, text] of [
    [make(5, 3), '\\(5, 3\\); use a smaller batch or a longer queue'],
    [make(2, 4), '\\(2, 4\\)'],
  ] as const)
    await rejects(
      () => queuePush(plan, make(4, 3), rows),
      ShapeError,
      new RegExp(`queuePush: expected rows \\(N, 3\\), N from 1 to 4, for queue \\(4, 3\\), got ${text}`),
    );
  await rejects(
    () => queuePush(plan, make(2 ** 20, 3), make(2 ** 12, 3)),
    ShapeError,
    /expected N·Q below 2³², got 4096 rows for 1048576; use a shorter queue/,
  );
});

test.run();
