// What a run will compute and hold, told without an adapter, against the run itself.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { methodNames } from '../../src/config/methods.js';
import { parseConfig } from '../../src/config/settings.js';
import { runCost } from '../../src/cost/run.js';
import { costNote, runText } from '../../src/cost/text.js';
import { planarSource } from '../../src/data/derived.js';
import { ConfigError } from '../../src/errors.js';
import type { Device } from '../../src/runtime/device.js';
import { ledgerOf } from '../../src/runtime/ledger.js';
import { metaDevice } from '../../src/runtime/meta.js';
import { statsOf } from '../../src/runtime/stats.js';
import { openTestDevice } from '../device.js';
import { openTrainer } from '../made_up.js';
import { makeTeacher } from '../methods/tiny.js';
import { generator } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const small = { data: 'none', imageSize: 16, width: 0.25, blocks: '64/1 128/2', projector: 32, batch: 8 };
const images = (length: number, side: number) =>
  planarSource(
    { name: 'gray', width: side, height: side },
    3,
    Array.from({ length }, () => new Uint8Array(3 * side * side).fill(128)),
  );

for (const optimizer of ['sgd', 'adamw', 'lars'])
  for (const method of ['sacl_xd', 'xd'])
    test(`${method} by ${optimizer}: the step and the lasting memory are those of the trainer`, async () => {
      const config = parseConfig({ ...small, method, optimizer, epochs: 3 });
      const cost = runCost(config, 20);
      const before = device.allocated;
      const trainer = await openTrainer(device, config, images(20, 16));
      const { step } = cost;
      assert.equal(step, ledgerOf(trainer.plan.dispatches));
      assert.equal(trainer.cost.memory.lasting, cost.memory.lasting);
      assert.equal({ ...trainer.cost, memory: 0 }, { ...cost, memory: 0 });
      assert.is(cost.steps, trainer.steps);
      assert.is(cost.flops, 6 * step.flops);
      const { heldBytes } = statsOf(trainer.plan);
      const data = 4 * 20 * 16 ** 2 + 16 * 20 + 16 * 8;
      const rest = device.allocated - before - heldBytes - data - cost.memory.lasting;
      assert.ok(rest >= 0 && rest < 64 * 1024, `${rest} bytes besides: uniforms and what is read back`);
      assert.ok(
        cost.memory.transient > 0.7 * heldBytes && cost.memory.transient < 1.4 * heldBytes,
        `${heldBytes} held`,
      );
      trainer.dispose();
    });

test('what a run tells of its cost fits 80 columns, for every method', () => {
  for (const method of methodNames) {
    const teacher = ['seed', 'disco'].includes(method) ? { teacher: 'file' } : {};
    const config = parseConfig({ data: 'none', method, ...teacher, epochs: 100 });
    const cost = runCost(config, 123_456, makeTeacher(metaDevice(), generator()));
    const note = costNote(cost);
    for (const line of `${note}\n${runText('runs/a/config.json', config, cost, 0.25)}`.split('\n'))
      assert.ok(line.length <= 80, `${method}: ${line.length} columns: ${line}`);
    assert.match(
      note,
      /^A step takes [\d.]+ GFLOP \((\w+ [\d.]+, )*\w+ [\d.]+\)\.\n48,200 steps take [\d.]+ \w?FLOP\.$/,
      method,
    );
  }
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
