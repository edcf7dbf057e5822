import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { scaleChannels } from '../../src/ops/scale_channels.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { checkOp } from '../check.js';
import { openTestDevice } from '../device.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

for (const form of ['alone', 'together'])
  for (const shape of [
    [1, 1, 1, 1],
    [3, 5, 7, 7],
    [2, 70, 4, 4],
    [2, 3, 33, 2],
  ])
    test(`scaled planes and both gradients, ${form}, ${shape}`, async () => {
      const P = shape[2] * shape[3];
      await checkOp(device, 'scaleChannels', {
        variants: { scaleChannels: form },
        inputs: { x: shape, scale: shape.slice(0, 2) },
        run: (tape, { x, scale }) => scaleChannels(tape, x, scale),
        reference: ({ x, scale, dy }) => ({
          y: x.map((v, i) => scale[Math.floor(i / P)] * v),
          dx: dy.map((v, i) => scale[Math.floor(i / P)] * v),
          dscale: scale.map((_, plane) => {
            let sum = 0;
            for (let i = plane * P; i < (plane + 1) * P; i++) sum += dy[i] * x[i];
            return sum;
          }),
        }),
      });
    });

test('shapes that do not fit are refused by name', () => {
  const tape = new Tape(new Plan(device));
  const x = tape.empty('x', [2, 3, 4, 4]);
  assert.throws(
    () => scaleChannels(tape, tape.empty('x', [2, 3]), x),
    /scaleChannels: expected x \(N, C, H, W\), all above 0, got \(2, 3\)/,
  );
  assert.throws(
    () => scaleChannels(tape, x, tape.empty('scale', [2, 4])),
    /scaleChannels: expected scale \(2, 3\) for x \(2, 3, 4, 4\), got \(2, 4\)/,
  );
});

test.run();
