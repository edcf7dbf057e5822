import { test } from 'uvu';
import { Tape } from '../../src/core/tape.js';
import { ConfigError, ShapeError } from '../../src/errors.js';
import { nearestNeighborTargets } from '../../src/ops/nearest_neighbors.js';
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

/** By sorting each row: its largest columns but the first, of equal ones the leftmost. */
function reference(s: Float64Array, L: number, count: number): Float64Array {
  const targets = new Float64Array(s.length);
  for (let at = 0; at < s.length; at += L) {
    const row = s.subarray(at, at + L);
    const others = Array.from({ length: L - 1 }, (_, i) => i + 1).sort((a, b) => row[b] - row[a] || a - b);
    for (const column of [0, ...others.slice(0, count)]) targets[at + column] = 1 / (count + 1);
  }
  return targets;
}

for (const form of ['alone', 'few', 'many', 'workgroup'])
  for (const { N, K, count = 5 } of [
    { N: 1, K: 1, count: 1 },
    { N: 1, K: 5 },
    { N: 3, K: 7, count: 7 },
    { N: 17, K: 130 },
    { N: 70, K: 33, count: 2 },
    { N: 3, K: 2050 },
  ])
    for (const values of ['all different', 'a few values', 'one value'])
      test(`the ${count} nearest of ${K}, ${values}, N ${N}, ${form}`, async () => {
        const L = K + 1;
        await checkOp(device, 'nearestNeighborTargets', {
          variants: { nearestNeighborTargets: form },
          inputs: { s: [N, L] },
          // similarities that are equal, by spreading them over little more than the rounding of their mean
          mean: values === 'all different' ? 0 : 2 ** 20,
          spread: values === 'one value' ? 0 : values === 'a few values' ? 0.3 : 1,
          run: (tape, { s }) => nearestNeighborTargets(tape.plan, s, { count }),
          reference: ({ s }) => ({ y: reference(s, L, count) }),
        });
      });

test('what does not fit is refused by name', async () => {
  const plan = new Plan(device);
  const s = new Tape(plan).empty('s', [4, 5]);
  await rejects(
    () => nearestNeighborTargets(plan, s),
    ShapeError,
    /nearestNeighborTargets: expected similarities \(N, L\) with L of more than 5, got \(4, 5\); use a longer queue/,
  );
  await rejects(
    () => nearestNeighborTargets(plan, s, { count: 1.5 }),
    ConfigError,
    /nearestNeighborTargets: expected a count that is whole and at least 1, got 1.5/,
  );
});

test.run();
