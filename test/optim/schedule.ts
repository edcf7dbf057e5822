import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { defaultWarmup, warmupCosine } from '../../src/optim/schedule.js';

const near = (a: number, b: number) => assert.ok(Math.abs(a - b) <= 1e-12, `expected ${b}, got ${a}`);

test('warm-up rises linearly from 3e-5 to the peak, then half a cosine falls to 0', () => {
  const at = warmupCosine({ lr: 0.3, batch: 128, steps: 110, warmup: 10 });
  const peak = 0.15;
  near(at(0), 3e-5);
  near(at(5), (3e-5 + peak) / 2);
  near(at(10), peak);
  near(at(35), (peak / 2) * (1 + Math.SQRT1_2));
  near(at(60), peak / 2);
  near(at(110), 0);
  near(at(500), 0);
  for (let step = 1; step < 110; step++) assert.ok(step <= 10 ? at(step) > at(step - 1) : at(step) < at(step - 1));
});

test('no warm-up starts at the peak; a peak below the start is never exceeded', () => {
  near(warmupCosine({ lr: 1, batch: 256, steps: 4, warmup: 0 })(0), 1);
  const tiny = warmupCosine({ lr: 1e-6, batch: 256, steps: 20, warmup: 10 });
  for (let step = 0; step <= 20; step++) assert.ok(tiny(step) <= 1e-6);
});

test('warm-up by default: ten epochs, at most a tenth', () => {
  assert.is(defaultWarmup(1000, 5), 50);
  assert.is(defaultWarmup(1005, 100), 100);
  assert.is(defaultWarmup(5, 100), 0);
});

test('settings out of range are refused by name', () => {
  const good = { lr: 1, batch: 256, steps: 10, warmup: 1 };
  assert.throws(() => warmupCosine({ ...good, lr: -1 }), /schedule: expected lr of at least 0, got -1/);
  assert.throws(() => warmupCosine({ ...good, batch: 0 }), /schedule: expected a batch above 0, got 0/);
  assert.throws(() => warmupCosine({ ...good, warmup: 11 }), /warm-up steps from 0 to 10, got 11/);
});

test.run();
