// Loaders used out of turn, or on what is no source: each is refused by name, and no plan runs on images that are not there.
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Loader, type LoaderOptions } from '../../src/data/loader.js';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { ConfigError, DataError, DeviceError, ValidationError } from '../../src/errors.js';
import { centerCrop, imagenetStatistics } from '../../src/ops/augment.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { profile } from '../../src/runtime/profile.js';
import { openTestDevice } from '../device.js';
import { seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

/** Images of 3 x 2 pixels, each of one level of gray, its item's number. */
const plain = (length: number): ImageSource<RgbaImage> => ({
  name: 'plain images',
  length,
  images: 1,
  load: async (item) => ({
    width: 3,
    height: 2,
    pixels: Uint8Array.from({ length: 24 }, (_, i) => (i % 4 === 3 ? 255 : item)),
  }),
});

async function withLoader(
  source: ImageSource,
  options: LoaderOptions,
  use: (loader: Loader) => Promise<void>,
): Promise<void> {
  const loader = await Loader.open(device, source, options);
  try {
    await use(loader);
  } finally {
    loader.dispose();
  }
}

test('a plan does not run on images that are not there yet', async () => {
  for (const budget of [undefined, 0])
    await withLoader(plain(9), { batch: 4, budget }, async (loader) => {
      using plan = new Plan(device);
      const x = centerCrop(plan, loader, { size: 9, ...imagenetStatistics });
      plan.retain(x);
      await plan.compile();
      const before = /^loader\.batch: expected to be filled before a run; call prepare\(step\) or show\(items\)/;
      for (let again = 0; again < 2; again++) await rejects(() => plan.run(), ValidationError, before);
      await rejects(() => profile(plan), ValidationError, before);
      await loader.show([1]);
      plan.run();
      assert.ok((await plan.read(x)).every(Number.isFinite));
    });
});

test('a loader that is disposed of takes no more calls, and refuses those on their way', async () => {
  for (const budget of [undefined, 0]) {
    const source = plain(20);
    const loader = await Loader.open(device, source, { batch: 4, seed, budget });
    loader.prefetch(2);
    loader.dispose();
    const gone = /^loader: \w+\(\d*\) on a loader that was disposed of/;
    await rejects(() => loader.prepare(2), DeviceError, gone);
    await rejects(() => loader.show([1]), DeviceError, gone);
    await rejects(() => loader.prefetch(3), DeviceError, gone);
    loader.dispose();
    const other = await Loader.open(device, source, { batch: 4, seed, budget });
    const late = rejects(() => other.prepare(0), DeviceError, /^loader: prepare\(0\) on a loader that was disposed of/);
    other.dispose();
    await late;
  }
  await device.settled();
  assert.is(device.allocated, 0);
});

test('options out of range and what is no source are refused on opening', async () => {
  const refuses = (
    source: ImageSource,
    options: LoaderOptions,
    kind: typeof DataError | typeof ConfigError,
    message: RegExp,
  ) => rejects(() => Loader.open(device, source, options), kind, message);
  for (const seed of [-1, 1.5, Number.NaN, 2 ** 32])
    await refuses(plain(7), { batch: 4, seed }, ConfigError, /seed that is a whole number from 0/);
  for (const budget of [-1, Number.NaN])
    await refuses(plain(7), { batch: 4, budget }, ConfigError, /budget of at least 0 bytes, got/);
  for (const wrong of [{ length: 2.5 }, { images: 3 as 2 }, { load: undefined as unknown as ImageSource['load'] }])
    await refuses({ ...plain(3), ...wrong }, { batch: 1 }, DataError, /1 or 2 images an item and load\(\), got/);
  const labels = Int32Array.of(0, 1);
  await refuses({ ...plain(3), labels }, { batch: 1 }, DataError, /expected labels of 3 items, got 2/);
  assert.is(device.allocated, 0);
});

test('items to show are whole numbers of the source', async () => {
  await withLoader(plain(7), { batch: 4 }, async (loader) => {
    for (const item of [-1, 1.5, Number.NaN, 7, '1' as unknown as number]) {
      const message = new RegExp(`^loader: expected items from 0 to 6, got ${item}$`);
      await rejects(() => loader.show([0, item]), ConfigError, message);
      await rejects(() => loader.prefetch([0, item]), ConfigError, message);
    }
  });
});

test('a run is refused while the next batch is on its way, cached or streamed', async () => {
  for (const budget of [0, 2 ** 20]) {
    using loader = await Loader.open(device, plain(8), { batch: 2, seed: 1, budget });
    using plan = new Plan(device);
    centerCrop(plan, loader, { size: 4, ...imagenetStatistics });
    await plan.compile();
    await loader.prepare(0);
    plan.run();
    const pending = loader.prepare(1);
    await rejects(
      () => plan.run(),
      ValidationError,
      /^loader\.batch: expected to be filled before a run; await prepare\(1\)/,
    );
    await pending;
    plan.run();
  }
});

test.run();
