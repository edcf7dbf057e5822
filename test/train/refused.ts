// Trainers of methods that would not train as they say: refused by name when they are opened, or at the step where it shows.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Parameters } from '../../src/core/parameters.js';
import type { Tape } from '../../src/core/tape.js';
import { ConfigError, DataError, NonFiniteError } from '../../src/errors.js';
import type { Views } from '../../src/methods/method.js';
import type { Network } from '../../src/methods/network.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import type { Plan } from '../../src/runtime/plan.js';
import { Trainer } from '../../src/train/trainer.js';
import { openTestDevice } from '../device.js';
import { images } from '../made_up.js';
import { options, ownMethod } from '../own_method.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

test('a run is not resumed on other images of the same number, where they can be told', async () => {
  const source = { ...images(30), digests: Uint32Array.from({ length: 30 }, (_, i) => i) };
  const trainer = await Trainer.open(device, ownMethod(), source, options);
  const resume = await trainer.checkpoint();
  trainer.dispose();
  const other = { ...source, digests: Uint32Array.from({ length: 30 }, (_, i) => i + (i === 29 ? 1 : 0)) };
  await rejects(
    () => Trainer.open(device, ownMethod(), other, { ...options, resume }),
    DataError,
    /pictures \(there "/,
  );
  (await Trainer.open(device, ownMethod(), source, { ...options, resume })).dispose();
});

test('an average that would never move is refused', async () => {
  const method = ownMethod();
  for (const [wrong, message] of [
    [{ ...method, momentum: undefined }, /have momentum\(step, steps\), got none, and its average would never move/],
    [
      {
        ...method,
        record: (tape: Tape, network: Network, views: Views) => ({
          ...method.record(tape, network, views),
          update: undefined,
        }),
      },
      /call network\.updateAverage\(plan\) in update\(\), got none/,
    ],
  ] as const)
    await rejects(() => Trainer.open(device, wrong, images(30), options), ConfigError, message);
});

test('an optimizer with a rate of its own is refused, and one that nothing reaches', async () => {
  const own = {
    ...options,
    lr: 0.1,
    optimizer: (plan: Plan, parameters: Parameters) => sgd(plan, parameters, { lr: 1 }),
  };
  await rejects(
    () => Trainer.open(device, ownMethod(), images(30), own),
    ConfigError,
    /without a learning rate of its own, got sgd of lr 1/,
  );
});

test('a loop ends with the first loss that is no number', async () => {
  const trainer = await Trainer.open(device, ownMethod(), images(30), {
    ...options,
    optimizer: sgd,
    lr: 1e30,
    warmup: 0,
  });
  let steps = 0;
  await rejects(
    async () => {
      for await (const { loss } of trainer) {
        assert.ok(Number.isFinite(loss));
        steps++;
      }
    },
    NonFiniteError,
    /^train: step [2-6] has loss (NaN|-?Infinity), first tensor not finite: /,
  );
  assert.ok(steps >= 1 && steps < 6);
  trainer.dispose();
});

test.run();
