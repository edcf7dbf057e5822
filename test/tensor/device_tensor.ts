// Tensors of the device: made of numbers, written and read in numbers, sliced in place.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ConfigError, DeviceError, ShapeError, ValidationError } from '../../src/errors.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { numel, transient } from '../../src/tensor/tensor.js';
import { openTestDevice } from '../device.js';
import { generator, randoms } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();

test('a tensor holds one number, an array of them, or what a function gives', async () => {
  const shape = [3, 5];
  const values = randoms(random, numel(shape));
  assert.equal(await device.tensor(shape, 0).read(), new Float32Array(15));
  assert.equal(await device.tensor(shape, 0.25).read(), new Float32Array(15).fill(0.25));
  assert.equal(await device.tensor(shape, values).read(), values);
  assert.equal(await device.tensor(shape, [...values]).read(), values);
  assert.equal(await device.tensor(shape, Float64Array.from(values)).read(), values);
  assert.equal(await device.tensor(shape, (i) => values[i]).read(), values);
  const x = device.tensor(shape, 1, { label: 'x' });
  x.write(values);
  assert.equal(await x.read(), values);
  assert.is(x.label, 'x');
  assert.is(x.offset % device.limits.minStorageBufferOffsetAlignment, 0);
});

test('f16 numbers are rounded once, whatever their count', async () => {
  if (!device.features.has('shader-f16')) {
    await rejects(
      () =>
        device
          .tensor([3], 1, { dtype: 'f16' })
          .read()
          .then(() => {
            throw new ConfigError('f16 can be stored anywhere');
          }),
      ConfigError,
      /stored anywhere/,
    );
  }
  for (const shape of [[1], [3], [2, 5], [4, 4]]) {
    const x = device.tensor(shape, (i) => i + 0.25, { dtype: 'f16' });
    assert.equal(
      await x.read(),
      Float32Array.from({ length: numel(shape) }, (_, i) => i + 0.25),
    );
  }
});

test('whole numbers are kept whole, and nothing else is taken for one', async () => {
  const labels = device.tensor([3], [7, 0, 2 ** 32 - 1], { dtype: 'u32' });
  assert.equal(await labels.read(), Uint32Array.of(7, 0, 2 ** 32 - 1));
  labels.write(3);
  assert.equal(await labels.read(), Uint32Array.of(3, 3, 3));
  const signed = device.tensor([2, 2], [-1, 2 ** 31 - 1, -(2 ** 31), 5], { dtype: 'i32' });
  assert.equal(await signed.read(), Int32Array.of(-1, 2 ** 31 - 1, -(2 ** 31), 5));
  for (const value of [-1, 0.5, Number.NaN, 2 ** 32])
    await rejects(() => device.tensor([1], value, { dtype: 'u32' }), ConfigError, /expected whole numbers from 0 to/);
  await rejects(() => signed.write(2 ** 31), ConfigError, /expected whole numbers from -2147483648 to 2147483647/);
});

test('a slice is the same memory, for reading and for writing, and its gradient likewise', async () => {
  const host = device.parameter([4, 3, 2], (i) => i, { label: 'host' });
  const slim = host.slice([2, 2, 2]);
  assert.is(slim.storage, host.storage);
  assert.equal([...(await slim.read())], [0, 1, 2, 3, 6, 7, 8, 9]);
  slim.write([10, 11, 12, 13, 14, 15, 16, 17]);
  const expected = Array.from({ length: 24 }, (_, i) => i);
  [0, 1, 2, 3, 6, 7, 8, 9].forEach((at, i) => {
    expected[at] = 10 + i;
  });
  assert.equal([...(await host.read())], expected);
  slim.grad.write(3);
  const gradient = expected.map((_, i) => ([0, 1, 2, 3, 6, 7, 8, 9].includes(i) ? 3 : 0));
  assert.equal([...(await host.grad.read())], gradient);
  assert.equal(slim.slice([1, 2, 1]).shape, [1, 2, 1]);
  assert.equal([...(await slim.slice([1, 2, 1]).read())], [10, 12]);
  assert.equal([...(await host.reshape([6, 4]).slice([1, 4]).grad.read())], [3, 3, 3, 3]);
});

test('a transposed view reads and writes in its own order', async () => {
  const x = device.tensor([2, 3], (i) => i);
  assert.equal([...(await x.transpose().read())], [0, 3, 1, 4, 2, 5]);
  await rejects(() => x.transpose().write(0), ValidationError, /^write: expected contiguous rows, got tensor/);
});

test('what is no shape or no number is refused by name', async () => {
  for (const shape of [[0], [2, -1], [1.5], [Number.NaN]])
    await rejects(() => device.tensor(shape, 1, { label: 'x' }), ShapeError, /^x: expected a shape of sides/);
  await rejects(() => device.tensor(3 as unknown as number[], 0), ShapeError, /^tensor: expected a shape .*, got 3$/);
  await rejects(() => device.tensor([2], undefined as never), ConfigError, /^tensor: expected numbers, got undefined/);
  await rejects(() => device.tensor([2], [1, 2, 3]), ShapeError, /^tensor: expected 2 numbers for \(2\), got 3/);
  await rejects(() => device.tensor([2], ['1', 2] as unknown as number[]), ConfigError, /expected numbers, got 1 at 0/);
  await rejects(() => device.tensor([1], '1' as unknown as number[]), ConfigError, /expected a number, an array/);
  await rejects(() => device.tensor([1], null as unknown as number[]), ConfigError, /expected a number, an array/);
  await rejects(() => device.tensor([1], 1, { dtype: 'f64' as 'f32' }), ConfigError, /precision/);
  await rejects(() => device.tensor([2 ** 20, 2 ** 20], 0), Error as never, /needs \d+ bytes/);
  const before = device.allocated;
  await rejects(() => device.tensor([2], [1, 2, 3]), ShapeError, /expected 2 numbers/);
  assert.is(device.allocated, before, 'what is refused holds no memory');
});

test('memory is freed by dispose, and not used after it', async () => {
  const before = device.allocated;
  const host = device.parameter([8, 8], 1, { label: 'host' });
  assert.ok(device.allocated > before);
  const slim = host.slice([2, 2]);
  host.dispose();
  host.dispose();
  assert.is(device.allocated, before);
  await rejects(() => slim.read(), DeviceError, /host: used after it was freed/);
  await rejects(() => slim.write(1), DeviceError, /host: used after it was freed/);
  {
    using x = device.tensor([4], 1);
    assert.equal([...(await x.read())], [1, 1, 1, 1]);
  }
  assert.is(device.allocated, before);
});

test('bytes of other numbers are not taken for those of a tensor', async () => {
  const [x, labels] = [device.tensor([2], 0), device.tensor([2], 0, { dtype: 'u32' })];
  for (const wrong of [Float64Array.of(1, 2), Int32Array.of(1, 2), Uint16Array.of(1, 2)])
    await rejects(
      () => device.write(x, wrong),
      ValidationError,
      /^tensor: expected a Float32Array to write, got a \w+Array; /,
    );
  await rejects(() => device.write(labels, Float32Array.of(1, 2)), ValidationError, /expected a Uint32Array to write/);
  device.write(x, Float32Array.of(1, 2));
  device.write(labels, new Uint8Array(8));
  device.write(x.storage, Int32Array.of(1)); // of a buffer nothing is known
});

test("a plan's memory is not the device's", async () => {
  using plan = new Plan(device);
  const slot = transient(plan, 'slot', [4]);
  await rejects(
    () => device.write(slot, new Float32Array(4)),
    ValidationError,
    /^slot: expected a tensor of the device/,
  );
  await rejects(() => device.read(slot), ValidationError, /^slot: expected a tensor of the device/);
  await rejects(() => device.free(slot), ValidationError, /^slot: expected a tensor of the device/);
});

test.run();
