// Runs that start from given weights: what of the network they fill, what is refused, and that a resumed run needs them no more.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tensors } from '../../src/core/state.js';
import { mobilenetV1 } from '../../src/encoders/mobilenet_v1.js';
import { DataError } from '../../src/errors.js';
import { byol } from '../../src/methods/byol.js';
import type { Method } from '../../src/methods/method.js';
import { rekd } from '../../src/methods/rekd.js';
import { saclXd } from '../../src/methods/sacl_xd.js';
import { xd } from '../../src/methods/xd.js';
import { sgd } from '../../src/optim/sgd.js';
import type { Device } from '../../src/runtime/device.js';
import { initialState } from '../../src/train/initial_state.js';
import type { TrainerOptions } from '../../src/train/options.js';
import { Trainer } from '../../src/train/trainer.js';
import { openTestDevice } from '../device.js';
import { assertEqual, images } from '../made_up.js';
import { generator, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const encoder = (width: number, ratio = 1) =>
  mobilenetV1({
    width,
    ratio,
    stemStride: 1,
    blocks: [
      [64, 2],
      [128, 1],
    ],
  });
const options: TrainerOptions = { batch: 10, steps: 4, imageSize: 16, seed: seed % 1000, optimizer: sgd, lr: 0.05 };
const open = (method: Method, more: TrainerOptions = {}) =>
  Trainer.open(device, method, images(30), { ...options, ...more });

/** Another run's weights: of a network of that width, by another seed, with statistics that are not the first ones. */
async function weightsOf(width: number): Promise<Tensors> {
  const state = await initialState(device, xd(encoder(width), { projector: 12 }), 'slim', seed + 1);
  const random = generator(seed + 2);
  for (const [name, { data }] of state) if (/running_/.test(name)) data.set(data.map(() => 0.5 + random()));
  return state;
}

test("a host's weights are the host's, and cut out of them the slim encoder's", async () => {
  const init = await weightsOf(0.375);
  const trainer = await open(saclXd(encoder(0.25, 1.5), { projector: 12 }), { init });
  assertEqual(await trainer.encoderState('host'), init, 'host');
  const slim = await trainer.encoderState('slim');
  for (const [name, { shape, data }] of slim) {
    if (/running_/.test(name)) continue; // its own
    const whole = init.get(name) as { shape: readonly number[]; data: Float32Array };
    const strides = whole.shape.map((_, d) => whole.shape.slice(d + 1).reduce((a, b) => a * b, 1));
    const cut = data.map((_, i) => {
      let [left, at] = [i, 0];
      for (let d = shape.length - 1; d >= 0; d--) {
        at += (left % shape[d]) * strides[d];
        left = Math.floor(left / shape[d]);
      }
      return whole.data[at];
    });
    assert.equal(data, cut, `${name}, seed ${seed}`);
  }
  await trainer.train();
  trainer.dispose();
});

for (const slice of ['prefix', 'l1'] as const)
  test(`weights of the slim encoder fill the slice of a wider host (${slice}), whose rest is as the seed makes it`, async () => {
    const init = await weightsOf(0.25);
    const method = () => saclXd(encoder(0.25, 1.5), { projector: 12, slice });
    const trainer = await open(method(), { init });
    assertEqual(await trainer.encoderState('slim'), init, 'slim');
    const host = await trainer.encoderState('host');
    const random = await initialState(device, method(), 'host', options.seed as number);
    const kept = [...host].map(([name, { data }]) => {
      const first = (random.get(name) as { data: Float32Array }).data;
      return data.reduce((count, value, i) => count + Number(value === first[i]), 0) / data.length;
    });
    assert.ok(
      kept.every((share) => share > 0.2),
      `part of every tensor is as before: ${kept}`,
    );
    trainer.dispose();
  });

test('channels are selected by the norms of the weights that are given', async () => {
  const init = await weightsOf(0.375);
  const weight = init.get('features.0.0.weight') as { shape: readonly number[]; data: Float32Array };
  const row = weight.data.length / weight.shape[0];
  weight.data.fill(3, weight.data.length - row); // the last channel's filter is the largest
  const trainer = await open(saclXd(encoder(0.25, 1.5), { projector: 12, slice: 'l1' }), { init });
  const slim = (await trainer.encoderState('slim')).get('features.0.0.weight')?.data as Float32Array;
  assert.equal([...slim.slice(-row)], Array(row).fill(3));
  trainer.dispose();
});

test('the average starts as a copy, and what is behind the encoder as the seed makes it', async () => {
  const init = await weightsOf(0.25);
  const method = () => byol(encoder(0.25), { projector: 12, embedding: 6 });
  const [trainer, plain] = [await open(method(), { init }), await open(method())];
  const [saved, random] = [await trainer.save(), await plain.save()];
  for (const name of trainer.network.parameters.names) {
    const { data } = saved.get(name) as { data: Float32Array };
    assert.equal(saved.get(`average.${name}`)?.data, data, name);
    assert.equal(data, (init.get(name) ?? random.get(name))?.data, name);
  }
  trainer.dispose();
  plain.dispose();
});

test('of two encoders the small one takes them', async () => {
  const init = await weightsOf(0.25);
  const method = () => rekd(encoder(0.25), encoder(0.25, 1.5), { projector: 12, embedding: 6, queue: 20 });
  const trainer = await open(method(), { init });
  assertEqual(await trainer.encoderState('slim'), init, 'slim');
  const wide = await initialState(device, method(), 'host', options.seed as number);
  assertEqual(await trainer.encoderState('host'), wide, 'the wide one is as the seed makes it');
  trainer.dispose();
});

test('what does not fit is refused, and says all that differs', async () => {
  const method = () => xd(encoder(0.25), { projector: 12 });
  const before = device.allocated;
  const refused = async (change: (init: Tensors) => void, message: RegExp, of = method()) => {
    const init = await weightsOf(0.25);
    change(init);
    await rejects(() => open(of, { init }), DataError, message);
    assert.is(device.allocated, before, 'all is given back');
  };
  await refused(
    (init) => init.delete('features.0.0.weight'),
    /^init \(--init\): tensors of the \w+ encoder: .*features\.0\.0\.weight is missing/,
  );
  await refused((init) => init.set('more', { shape: [1], data: Float32Array.of(1) }), /more is not expected/);
  await refused(
    (init) => ((init.get('features.0.1.bias') as { data: Float32Array }).data[1] = Number.NaN),
    /features\.0\.1\.bias holds a NaN/,
  );
  await refused((init) => init.clear(), /is missing/);
  await refused(
    () => {},
    /is F32 \(\d+, 3, 3, 3\), expected F32 \(12, 3, 3, 3\)/,
    xd(encoder(0.375), { projector: 12 }),
  );
});

test('a resumed run goes on bit for bit without them, and is refused with others', async () => {
  const init = await weightsOf(0.25);
  const method = () => byol(encoder(0.25), { projector: 12, embedding: 6 });
  const whole = await open(method(), { init });
  await whole.train();
  const resume = await whole.checkpoint();
  while (whole.step < whole.steps) await whole.train();
  const reversed = new Map([...init].reverse());
  for (const given of [{}, { init }, { init: reversed }]) {
    const resumed = await open(method(), { ...given, resume });
    assertEqual(toState(await resumed.checkpoint()), toState(resume), 'the checkpoint is the same');
    while (resumed.step < resumed.steps) await resumed.train();
    assertEqual(await resumed.save(), await whole.save(), `seed ${seed}`);
    resumed.dispose();
  }
  whole.dispose();
  const other = await weightsOf(0.25);
  (other.get('features.0.1.bias') as { data: Float32Array }).data[0] += 1;
  await rejects(() => open(method(), { init: other, resume }), DataError, /the run is another: init \(there "/);
  const plain = await open(method());
  const without = await plain.checkpoint();
  plain.dispose();
  await rejects(
    () => open(method(), { init, resume: without }),
    DataError,
    /the run is another: init \(there null, here "/,
  );
});

const toState = (bytes: Uint8Array): Tensors =>
  new Map([['bytes', { shape: [bytes.length], data: Float32Array.from(bytes) }]]);

test.run();
