import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { add } from '../../src/ops/add.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { checkOp, upload } from '../check.js';
import { openTestDevice } from '../device.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

for (const shape of [[1], [3, 5], [2, 3, 7, 5], [4, 64, 16, 16]]) {
  test(`a + b and its gradients, ${shape}`, async () => {
    await checkOp(device, 'add', {
      inputs: { a: shape, b: shape },
      run: (tape, { a, b }) => add(tape, a, b),
      reference: ({ a, b, dy }) => ({ y: a.map((v, i) => v + b[i]), da: dy, db: dy }),
    });
  });
}

test('an input used twice gets the sum of its gradients', async () => {
  await checkOp(device, 'add', {
    inputs: { a: [3, 7] },
    run: (tape, { a }) => add(tape, add(tape, a, a), a),
    reference: ({ a, dy }) => ({ y: a.map((v) => 3 * v), da: dy.map((v) => 3 * v) }),
  });
});

test('unequal shapes are refused by name', () => {
  const tape = new Tape(new Plan(device));
  const a = upload(device, 'a', [2, 3], new Float32Array(6));
  const b = upload(device, 'b', [3, 2], new Float32Array(6));
  assert.throws(() => add(tape, a, b), /add: expected shapes .* equal or 1, got \(2, 3\) and \(3, 2\)/);
});

test.run();
