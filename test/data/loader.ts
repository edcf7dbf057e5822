import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { halve } from '../../src/data/derived.js';
import { Loader, type LoaderOptions } from '../../src/data/loader.js';
import type { ImageSource, RgbaImage } from '../../src/data/source.js';
import { ConfigError, DataError } from '../../src/errors.js';
import { augment, centerCrop, defaultViews, imagenetStatistics } from '../../src/ops/augment.js';
import type { Device } from '../../src/runtime/device.js';
import { Plan } from '../../src/runtime/plan.js';
import { close } from '../check.js';
import { openTestDevice } from '../device.js';
import { centerDraw, view as referenceView } from '../ops/augment_reference.js';
import { generator, seed } from '../random.js';
import { rejects } from '../rejects.js';

let device: Device;
test.before(async () => {
  device = await openTestDevice();
});
test.after(() => device.dispose());

const random = generator();
const integer = (below: number) => Math.floor(random() * below);
const opaque = (pixels: number) =>
  Uint8Array.from({ length: pixels * 4 }, (_, i) => (i % 4 === 3 ? 255 : integer(256)));

interface CountedSource extends ImageSource<RgbaImage> {
  readonly all: readonly RgbaImage[];
  loads: number;
  /** Makes loading this item fail. */
  broken?: number;
}

function randomSource(length: number, images: 1 | 2 = 1, side = () => 1 + integer(20)): CountedSource {
  const all = Array.from({ length: length * images }, () => {
    const [width, height] = [side(), side()];
    return { width, height, pixels: opaque(width * height) };
  });
  const source: CountedSource = {
    name: 'random images',
    length,
    images,
    bound: { side: Math.max(...all.flatMap(({ width, height }) => [width, height])), pixels: 400 },
    all,
    loads: 0,
    async load(item, image) {
      source.loads++;
      if (item === source.broken) throw new DataError(`item ${item} is broken`);
      await new Promise((resolve) => setTimeout(resolve, random() * 3)); // they come in any order
      return all[item * images + image];
    },
  };
  return source;
}

/** What the bindings show: every place's sample and its images for either view. */
async function shown(loader: Loader, places = loader.batch): Promise<{ sample: number; views: RgbaImage[] }[]> {
  const read = async (name: 'pixels' | 'table' | 'batch') => device.read(loader.bindings[name]);
  const pixels = new Uint8Array(await read('pixels'));
  const [table, batch] = [new Uint32Array(await read('table')), new Uint32Array(await read('batch'))];
  return Array.from({ length: places }, (_, n) => ({
    sample: batch[4 * n],
    views: [1, 2].map((view) => {
      const [first, width, height] = table.subarray(4 * batch[4 * n + view]);
      return { width, height, pixels: pixels.slice(first * 4, (first + width * height) * 4) };
    }),
  }));
}

const expectShown = async (loader: Loader, source: CountedSource, items: ArrayLike<number>, what: string) => {
  const expected = Array.from(items, (sample) => ({
    sample,
    views: [0, source.images - 1].map((image) => source.all[sample * source.images + image]),
  }));
  assert.equal(await shown(loader), expected, `${what}, seed ${seed}`);
};

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

for (const images of [1, 2] as const) {
  for (const budget of [undefined, 0]) {
    const how = `${budget === 0 ? 'streamed' : 'cached'}, ${images} image(s) an item`;
    test(`every step's own items are shown: ${how}`, async () => {
      const source = randomSource(90, images);
      await withLoader(source, { batch: 16, seed, budget }, async (loader) => {
        assert.is(loader.cached, budget !== 0);
        assert.is(loader.stepsPerEpoch, 5);
        for (const step of [0, 1, 2, 7, 4, 5]) {
          await loader.prepare(step);
          await expectShown(loader, source, loader.batchAt(step), `step ${step}`);
          if (step !== 2) loader.prefetch(step + 1); // also one that is not the next to be asked for
        }
        await loader.show([3, 1, 2]);
        await expectShown(loader, source, [3, 1, ...Array(14).fill(2)], 'shown');
      });
    });
  }
}

test('an epoch shows every item at most once, in an order of its own that depends on seed and epoch alone', async () => {
  const source = randomSource(50);
  const open = (seed: number) => Loader.open(device, source, { batch: 8, seed });
  const [loader, again, other] = [await open(7), await open(7), await open(8)];
  const epochs = [0, 1, 2].map((epoch) =>
    Array.from({ length: 6 }, (_, i) => [...loader.batchAt(epoch * 6 + i)]).flat(),
  );
  for (const epoch of epochs) assert.is(new Set(epoch).size, 48);
  assert.is.not(epochs[0].join(), epochs[1].join());
  assert.is.not(epochs[1].join(), epochs[2].join());
  assert.equal([...again.batchAt(13)], epochs[2].slice(8, 16), 'step 13 alone');
  assert.is.not(other.batchAt(0).join(), loader.batchAt(0).join());
  for (const each of [loader, again, other]) each.dispose();
});

test('cached and streamed images make the same views, bit for bit, whatever was shown before', async () => {
  const source = randomSource(40, 2);
  const [options] = defaultViews(12);
  const results: Float32Array[] = [];
  for (const [budget, steps] of [
    [undefined, [6]],
    [0, [6]],
    [0, [5, 6]],
  ] as const) {
    await withLoader(source, { batch: 8, seed, budget }, async (loader) => {
      const plan = new Plan(device);
      const x = [augment(plan, loader, 0, options), augment(plan, loader, 1, options)];
      for (const view of x) plan.retain(view);
      await plan.compile();
      for (const step of steps) {
        await loader.prepare(step);
        plan.poison();
        plan.run({ step, seed });
        loader.prefetch(step + 1);
      }
      results.push(new Float32Array([...(await plan.read(x[0])), ...(await plan.read(x[1]))]));
      plan.dispose();
    });
  }
  assert.ok(results[0].every(Number.isFinite));
  assert.equal(results[1], results[0], `streamed, seed ${seed}`);
  assert.equal(results[2], results[0], `after another step, seed ${seed}`);
});

test('view 0 is made of image 0, view 1 of image 1', async () => {
  const source = randomSource(4, 2);
  await withLoader(source, { batch: 4 }, async (loader) => {
    const plan = new Plan(device);
    const views = ([0, 1] as const).map((view) => centerCrop(plan, loader, { size: 9, ...imagenetStatistics }, view));
    for (const x of views) plan.retain(x);
    await plan.compile();
    await loader.show([2, 0, 3, 1]);
    plan.poison();
    plan.run();
    for (const [view, x] of views.entries()) {
      const expected = [2, 0, 3, 1].flatMap((item) => {
        const image = source.all[2 * item + view];
        const blur = { p: 0, sigma: [1, 1], window: 1 } as const;
        return [...referenceView(image, centerDraw(image, 9, 9), { size: 9, blur, ...imagenetStatistics })];
      });
      close((await plan.read(x)).subarray(0, expected.length), expected, `view ${view}`);
    }
    plan.dispose();
  });
});

test('a batch is decoded while another is in use, once', async () => {
  const source = randomSource(40);
  await withLoader(source, { batch: 8, seed, budget: 0 }, async (loader) => {
    await loader.prepare(0);
    source.loads = 0;
    loader.prefetch(1);
    loader.prefetch(1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.is(source.loads, 8, 'before prepare()');
    await loader.prepare(1);
    assert.is(source.loads, 8, 'after it');
    await expectShown(loader, source, loader.batchAt(1), 'step 1');
  });
});

test('steps make no buffers', async () => {
  for (const budget of [undefined, 0]) {
    await withLoader(randomSource(40), { batch: 8, seed, budget }, async (loader) => {
      await loader.prepare(0);
      const { gpu } = device;
      const { createBuffer } = gpu;
      let made = 0;
      gpu.createBuffer = (descriptor) => {
        made++;
        return createBuffer.call(gpu, descriptor);
      };
      try {
        for (let step = 1; step < 12; step++) {
          loader.prefetch(step);
          await loader.prepare(step);
        }
      } finally {
        gpu.createBuffer = createBuffer;
      }
      assert.is(made, 0);
    });
  }
  assert.is(device.allocated, 0, 'bytes held after dispose()');
});

test('an image is halved, by means of 2 x 2, until its share of the batch holds it, cached and streamed alike', async () => {
  const batch = 2 ** 16; // so that the share is 512 pixels, and sides are at most 32
  const kept = async (budget: number | undefined, from: readonly RgbaImage[]) => {
    const source = { ...randomSource(from.length), bound: undefined, load: async (item: number) => from[item] };
    let seen: RgbaImage[] = [];
    await withLoader(source, { batch, budget }, async (loader) => {
      assert.is(loader.cached, budget !== 0);
      if (budget === 0) assert.is(loader.maxSide, 32);
      await loader.show(from.map((_, item) => item));
      seen = (await shown(loader, from.length)).map(({ views: [view] }) => view);
      assert.is(loader.maxSide >= Math.max(...seen.flatMap(({ width, height }) => [width, height])), true);
    });
    return seen;
  };
  const sides = [
    [32, 16, 0],
    [16, 32, 0],
    [22, 23, 0], // 506 pixels
    [32, 17, 1], // 544 pixels
    [1, 65, 2],
    [82, 60, 2],
    [33, 3, 1],
  ] as const;
  const from = sides.map(([width, height]) => ({ width, height, pixels: opaque(width * height) }));
  const expected = sides.map(([, , times], i) => {
    let image: RgbaImage = from[i];
    for (let t = 0; t < times; t++) image = halve(image);
    return image;
  });
  assert.equal(await kept(undefined, from), expected, `cached, seed ${seed}`);
  assert.equal(await kept(0, from), expected, `streamed, seed ${seed}`);
});

test("memory is for images as large as a source's bound, and one above it is refused by name", async () => {
  const source = { ...randomSource(9, 2, () => 6), bound: { side: 8, pixels: 40 } };
  await withLoader(source, { batch: 3, budget: 0 }, async (loader) => {
    assert.is(loader.maxSide, 8);
    assert.is(loader.bindings.pixels.bytes, 3 * 2 * 40 * 4);
    await loader.show([8, 0, 1]);
    await expectShown(loader, source, [8, 0, 1], 'within the bound');
    for (const [width, height] of [
      [9, 2],
      [7, 6],
    ]) {
      (source.all as RgbaImage[])[5] = { width, height, pixels: opaque(width * height) };
      await rejects(() => loader.show([1, 2]), DataError, /images: item 2, image 1: .* at most 8 and 40 pixels in all/);
    }
  });
  await rejects(() => Loader.open(device, source, { batch: 3 }), DataError, /item 2, image 1: .*got 7 x 6/);
});

test('with no budget nothing is decoded on opening', async () => {
  const source = randomSource(5);
  await withLoader(source, { batch: 2, budget: 0, onProgress: () => assert.unreachable() }, async () => {
    assert.is(source.loads, 0);
  });
});

test('where sizes are known, images that do not fit are not decoded on opening, those that fit are, once', async () => {
  const source = randomSource(200, 2);
  const bytes = source.all.reduce((sum, { pixels }) => sum + pixels.length, 0);
  const sizes = Uint32Array.from(source.all.flatMap(({ width, height }) => [width, height]));
  const open = (budget: number) => Loader.open(device, { ...source, sizes }, { batch: 4, seed: 1, budget });
  using streamed = await open(bytes - 1);
  assert.equal([streamed.cached, source.loads], [false, 0]);
  using cached = await open(bytes);
  assert.equal([cached.cached, source.loads], [true, 400]);
  await rejects(
    () => Loader.open(device, { ...source, sizes: sizes.subarray(2) }, { batch: 4 }),
    DataError,
    /expected sizes of 800 sides, two an image, got 798/,
  );
});

test('two calls at once are refused by name, and the first goes on', async () => {
  for (const budget of [undefined, 0]) {
    const source = randomSource(40);
    await withLoader(source, { batch: 8, seed, budget }, async (loader) => {
      for (const [begin, call, items] of [
        [() => loader.prepare(3), 'prepare\\(3\\)', loader.batchAt(3)],
        [() => loader.show([5]), 'show\\(\\)', Array(8).fill(5)],
      ] as const) {
        const first = begin();
        const [second, third] = [loader.prepare(1), loader.show([1])];
        loader.prefetch(2); // has no memory to go to
        await Promise.all([
          first,
          rejects(() => second, ConfigError, new RegExp(`^loader: prepare\\(1\\) while ${call} is pending`)),
          rejects(() => third, ConfigError, new RegExp(`^loader: show\\(\\) while ${call} is pending`)),
        ]);
        await expectShown(loader, source, items, call);
      }
      await loader.prepare(2);
      await expectShown(loader, source, loader.batchAt(2), 'afterwards');
    });
  }
});

test('items to show are decoded ahead as steps are', async () => {
  const source = randomSource(20);
  await withLoader(source, { batch: 4, budget: 0 }, async (loader) => {
    loader.prefetch([3, 1]);
    await loader.show([3, 1]);
    assert.is(source.loads, 2, 'each is decoded once');
    await expectShown(loader, source, [3, 1, 1, 1], 'ahead');
    loader.prefetch([3, 1]);
    await loader.show([3, 2]);
    assert.is(source.loads, 6);
    await expectShown(loader, source, [3, 2, 2, 2], 'others');
    assert.throws(() => loader.prefetch([20]), /items from 0 to 19, got 20/);
  });
});

test('an image that cannot be had fails the step that needs it, and no other', async () => {
  const source = randomSource(100);
  await withLoader(source, { batch: 10, seed, budget: 0 }, async (loader) => {
    source.broken = loader.batchAt(3)[4];
    loader.prefetch(3);
    await new Promise((resolve) => setTimeout(resolve, 30)); // a rejection that nobody caught would end the process here
    let caught: unknown;
    await loader.prepare(3).catch((error) => {
      caught = error;
    });
    assert.instance(caught, DataError);
    assert.match((caught as Error).message, `item ${source.broken} is broken`);
    await loader.prepare(4);
    await expectShown(loader, source, loader.batchAt(4), 'step 4');
  });
});

test('what cannot be loaded is refused', async () => {
  const refuses = async (
    source: ImageSource,
    options: LoaderOptions,
    kind: typeof DataError | typeof ConfigError,
    message: RegExp,
  ) => {
    let caught: unknown;
    await Loader.open(device, source, options).catch((error) => {
      caught = error;
    });
    assert.instance(caught, kind);
    assert.match((caught as Error).message, message);
  };
  await refuses(
    randomSource(7),
    { batch: 8, seed },
    DataError,
    /random images: has 7 items, fewer than a batch of 8; use a smaller batch/,
  );
  await refuses(randomSource(7), { batch: 0 }, ConfigError, /batch to be a whole number above 0, got 0/);
  await refuses(randomSource(0), { batch: 1 }, DataError, /has 0 items/);
  const torn = { ...randomSource(3), load: async () => ({ width: 2, height: 2, pixels: new Uint8Array(15) }) };
  await refuses(torn, { batch: 1 }, DataError, /item 0: expected a Uint8Array of 16 bytes, .* of 15/);
  await withLoader(randomSource(7), { batch: 4 }, async (loader) => {
    assert.throws(() => loader.batchAt(0), /expected a seed on opening/);
    for (const [items, message] of [
      [[], /from 1 to 4 items/],
      [[0, 1, 2, 3, 4], /got 5/],
      [[7], /items from 0 to 6, got 7/],
    ] as const) {
      let caught: unknown;
      await loader.show(items).catch((error) => {
        caught = error;
      });
      assert.instance(caught, ConfigError);
      assert.match((caught as Error).message, message);
    }
  });
});

test('images may be ImageData of a canvas', async () => {
  const plain = randomSource(6);
  const load: ImageSource['load'] = async (item, image) => {
    const { width, height, pixels } = await plain.load(item, image);
    return { width, height, data: Uint8ClampedArray.from(pixels), colorSpace: 'srgb' };
  };
  for (const budget of [undefined, 0])
    await withLoader({ ...plain, load }, { batch: 4, seed, budget }, async (loader) => {
      await loader.prepare(0);
      const [first] = loader.batchAt(0);
      const [{ views }] = await shown(loader);
      assert.equal([...views[0].pixels], [...plain.all[first].pixels], `seed ${seed}`);
    });
});

test.run();
