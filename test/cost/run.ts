// What a run will compute and hold, told without an adapter, against the run itself.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseConfig } from '../../src/config.js';
import { ledgerOf } from '../../src/cost/ledger.js';
import { runCost } from '../../src/cost/run.js';
import { planarSource } from '../../src/data/source.js';
import { ConfigError } from '../../src/errors.js';
import type { Device } from '../../src/runtime/device.js';
import { Trainer } from '../../src/train.js';
import { openTestDevice } from '../device.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const small = { data: 'none', imageSize: 16, width: 0.25, blocks: '64/1 128/2', projector: 32, batch: 8 };
const pictures = (length: number, side: number) =>
  planarSource(
    { name: 'grey', width: side, height: side },
    3,
    Array.from({ length }, () => new Uint8Array(3 * side * side).fill(128)),
  );

for (const optimizer of ['sgd', 'adamw', 'lars'])
  for (const method of ['sacl_xd', 'xd'])
    test(`${method} by ${optimizer}: the step and the lasting memory are those of the trainer`, async () => {
      const config = parseConfig({ ...small, method, optimizer, epochs: 3 });
      const cost = runCost(config, 20);
      const before = device.allocated;
      const trainer = await Trainer.open(device, config, pictures(20, 16));
      assert.equal(cost.step, ledgerOf(trainer.plan.dispatches));
      assert.is(cost.steps, trainer.steps);
      assert.is(cost.flops, 6 * cost.step.flops);
      const { heldBytes } = trainer.plan.stats();
      const data = 4 * 20 * 16 ** 2 + 16 * 20 + 16 * 8;
      const rest = device.allocated - before - heldBytes - data - cost.memory.lasting;
      assert.ok(rest >= 0 && rest < 64 * 1024, `${rest} bytes besides: uniforms and what is read back`);
      assert.ok(
        cost.memory.transient > 0.7 * heldBytes && cost.memory.transient < 1.4 * heldBytes,
        `${heldBytes} held`,
      );
      trainer.dispose();
    });

test('steps need no number of images, and epochs fewer than a batch are refused', async () => {
  const counted = runCost(parseConfig({ ...small, steps: 12 }), Number.MAX_SAFE_INTEGER);
  assert.is(counted.steps, 12);
  await rejects(
    () => runCost(parseConfig({ ...small, epochs: 2 }), 7),
    ConfigError,
    /batch.*at most the 7 training images/,
  );
});

test.run();
