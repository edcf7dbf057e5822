import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { emaMomentum, learningRate, steppedRate } from '../../src/optim/schedule.js';

const near = (a: number, b: number) => assert.ok(Math.abs(a - b) <= 1e-12, `expected ${b}, got ${a}`);

test('warm-up rises linearly from 3e-5 to the peak, then half a cosine falls to 0', () => {
  const peak = 0.15;
  const at = (step: number) => learningRate(step, { peak, steps: 110, warmup: 10 });
  near(at(0), 3e-5);
  near(at(5), (3e-5 + peak) / 2);
  near(at(10), peak);
  near(at(35), (peak / 2) * (1 + Math.SQRT1_2));
  near(at(60), peak / 2);
  near(at(110), 0);
  near(at(500), 0);
  for (let step = 1; step < 110; step++) assert.ok(step <= 10 ? at(step) > at(step - 1) : at(step) < at(step - 1));
});

test('no warm-up starts at the peak; a run that is all warm-up ends below it', () => {
  near(learningRate(0, { peak: 1, steps: 4, warmup: 0 }), 1);
  near(learningRate(2, { peak: 1, steps: 4, warmup: 4 }), (1 + 3e-5) / 2);
});

test('a peak below the start of warm-up is never exceeded', () => {
  for (let step = 0; step <= 20; step++) assert.ok(learningRate(step, { peak: 1e-6, steps: 20, warmup: 10 }) <= 1e-6);
});

test('steps fall to a tenth at 60 % and again at 80 %', () => {
  const at = (step: number) => steppedRate(step, { peak: 0.3, steps: 100 });
  for (const [step, lr] of [
    [0, 0.3],
    [59, 0.3],
    [60, 0.03],
    [79, 0.03],
    [80, 0.003],
    [99, 0.003],
  ])
    near(at(step), lr);
});

test('the momentum of an average goes from its base to 1 by half a cosine', () => {
  const at = (step: number) => emaMomentum(step, { steps: 100, base: 0.996 });
  near(at(0), 0.996);
  near(at(25), 1 - 0.002 * (1 + Math.SQRT1_2));
  near(at(50), 0.998);
  near(at(100), 1);
  near(at(101), 1);
});

test.run();
