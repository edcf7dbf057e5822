// Whether an adapter computes what it should.
import { Tape } from '../../core/tape.js';
import { globalAveragePool } from '../../ops/pool.js';
import type { Device } from '../../runtime/device.js';
import { Plan } from '../../runtime/plan.js';
import { tensor } from '../../tensor/tensor.js';

/**
 * Means of planes of sums of whole numbers, which f32 holds exactly: an addition and a reduction through the library's own
 * kernels. Returns what is wrong, or undefined.
 */
export async function findFault(device: Device): Promise<string | undefined> {
  const [C, side] = [24, 64];
  const a = Float32Array.from({ length: C * side * side }, (_, i) => (i * 7919) % 1021);
  const b = Float32Array.from(a, (_, i) => ((i * 104729) % 509) - 100);
  const expected = Array.from({ length: C }, (_, c) => {
    let sum = 0;
    for (let i = c * side * side; i < (c + 1) * side * side; i++) sum += a[i] + b[i];
    return sum / (side * side);
  });
  const plan = new Plan(device, { label: 'doctor' });
  const buffers: GPUBuffer[] = [];
  const upload = (label: string, values: Float32Array<ArrayBuffer>) => {
    const buffer = device.buffer(label, values.byteLength);
    device.write(buffer, values);
    buffers.push(buffer);
    return tensor(buffer, label, [1, C, side, side]);
  };
  try {
    const tape = new Tape(plan, { noGrad: true });
    const mean = globalAveragePool(tape, tape.accumulate(upload('a', a), upload('b', b)));
    plan.retain(mean);
    await plan.compile();
    plan.run();
    const got = await plan.read(mean);
    const wrong = expected.findIndex((value, c) => got[c] !== value);
    return wrong < 0
      ? undefined
      : `the mean of plane ${wrong} should be ${expected[wrong]}, but the adapter says ${got[wrong]}`;
  } finally {
    plan.dispose();
    for (const buffer of buffers) device.free(buffer);
  }
}
