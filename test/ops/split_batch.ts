// Large batches go through their ops a group of images at a time, and nothing but the time of a dispatch shows it.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../src/core/tape.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { depthwise } from '../../src/ops/depthwise.js';
import { linear } from '../../src/ops/linear.js';
import { pointwise } from '../../src/ops/pointwise.js';
import { batches } from '../../src/ops/split_batch.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, sliceView, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { close, upload } from '../check.js';
import { openTestDevice, pretend } from '../device.js';
import { generator, randoms, seed } from '../random.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** y, dx and dweight of an op, and the multiply-adds of its dispatches. */
async function pass(on: Device, shapes: Shapes, run: (tape: Tape, x: Tensor, weight: Tensor) => Tensor) {
  const random = generator(seed);
  const make = (label: string, shape: readonly number[], gradient = false) => {
    const data = randoms(random, numel(shape), 0.3, 1);
    return upload(on, label, shape, data, gradient ? randoms(random, numel(shape), 0.2, 1) : undefined);
  };
  const x = make('x', shapes.x);
  const host = make('weight', shapes.host, true);
  using plan = new Plan(on);
  const tape = new Tape(plan);
  const y = run(tape, tape.requireGrad(x), sliceView(host, shapes.weight));
  const dy = make('dy', y.shape);
  tape.backward(y, dy);
  const dx = tape.gradient(x) as Tensor;
  for (const output of [y, dx]) plan.retain(output);
  await plan.compile();
  plan.poison();
  plan.run();
  const results = { y: await plan.read(y), dx: await plan.read(dx), dweight: await plan.read(host.grad as Tensor) };
  for (const each of [x, host, host.grad as Tensor, dy]) on.free(each);
  return { results, macs: plan.dispatches.map(({ macs }) => macs).filter((macs) => macs > 0) };
}

interface Shapes {
  readonly x: readonly number[];
  readonly host: readonly number[];
  readonly weight: readonly number[];
}

const ops: [name: string, Shapes, (tape: Tape, x: Tensor, weight: Tensor) => Tensor][] = [
  ['pointwise', { x: [70, 6, 5, 3], host: [11, 8], weight: [9, 6] }, pointwise],
  [
    'conv2d',
    { x: [67, 3, 7, 5], host: [6, 4, 3, 3], weight: [5, 3, 3, 3] },
    (tape, x, weight) => conv2d(tape, x, weight, { stride: 2, padding: 1 }),
  ],
  [
    'depthwise',
    { x: [37, 8, 6, 6], host: [10, 1, 3, 3], weight: [8, 1, 3, 3] },
    (tape, x, weight) => depthwise(tape, x, weight, { padding: 1 }),
  ],
  ['linear', { x: [200, 12], host: [130, 15], weight: [130, 12] }, linear],
];

for (const [name, shapes, run] of ops)
  test(`${name} in groups equals ${name} at once`, async () => {
    const whole = await pass(device, shapes, run);
    const dispatchMacs = Math.ceil(Math.max(...whole.macs) / 2.5);
    const parts = await pass(pretend(device, { dispatchMacs }), shapes, run);
    assert.ok(parts.macs.length > whole.macs.length, `${parts.macs.length} dispatches, ${whole.macs.length} at once`);
    assert.ok(Math.max(...parts.macs) < Math.max(...whole.macs), `${parts.macs}`);
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b);
    assert.is(sum(parts.macs), sum(whole.macs), 'the work is the same');
    for (const key of ['y', 'dx', 'dweight'] as const)
      close(parts.results[key], whole.results[key], `${name} ${key}`, 2e-6);
  });

test('groups keep to the limit, and to offsets that a binding may have', () => {
  const limited = new Plan(pretend(device, { dispatchMacs: 1000 }));
  const buffer = device.buffer('x', 4 * 100 * 48);
  const x = tensor(buffer, 'x', [100, 48]);
  const y = tensor(buffer, 'y', [100, 5]);
  const groups = batches(limited, 100 * 10, x, y);
  assert.equal(groups, [[x, y]], 'what fits is left whole');
  for (const [macs, sizes] of [
    [100 * 15, [64, 36]],
    [100 * 16, [64, 36]],
    [100 * 1000, [64, 36]],
  ] as const)
    assert.equal(
      batches(limited, macs, x, y).map(([{ shape }]) => shape[0]),
      sizes,
      `${macs} multiply-adds`,
    );
  const aligned = batches(limited, 100 * 50, x);
  assert.equal(
    aligned.map(([{ shape }]) => shape[0]),
    [20, 20, 20, 20, 20],
  );
  for (const [{ offset, bytes }] of aligned) assert.equal([offset % 256, bytes], [0, 20 * 48 * 4]);
  device.free(buffer);
});

test.run();
