import { test } from 'uvu';
import { Tape } from '../../src/core/tape.js';
import { ConfigError, ShapeError } from '../../src/errors.js';
import { squaredDistance } from '../../src/ops/squared_distance.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { checkOp } from '../check.js';
import { openTestDevice } from '../device.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

for (const form of ['alone', 'few', 'many', 'workgroup'])
  for (const shape of [[1], [3, 7], [17, 130], [3, 513], [600, 513]])
    test(`the distance and its gradient, ${form}, ${shape}`, async () => {
      const scale = 1 / shape[0];
      await checkOp(device, 'squaredDistance', {
        variants: { squaredDistance: form },
        inputs: { a: shape, t: shape },
        run: (tape, { a, t }) => squaredDistance(tape, a, t, { scale }),
        reference: ({ a, t, dy }) => ({
          y: Float64Array.of(scale * a.reduce((sum, v, i) => sum + (v - t[i]) ** 2, 0)),
          da: a.map((v, i) => dy[0] * 2 * scale * (v - t[i])),
        }),
      });
    });

test('what does not fit is refused by name', async () => {
  const tape = new Tape(new Plan(device));
  const [a, b] = [tape.empty('a', [2, 3]), tape.empty('b', [3, 2])];
  await rejects(
    () => squaredDistance(tape, a, b),
    ShapeError,
    /squaredDistance: expected equal shapes, got \(2, 3\) and \(3, 2\)/,
  );
  await rejects(
    () => squaredDistance(tape, a, a, { scale: Number.POSITIVE_INFINITY }),
    ConfigError,
    /squaredDistance: expected a finite scale, got Infinity/,
  );
});

test.run();
